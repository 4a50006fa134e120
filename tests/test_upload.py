from __future__ import annotations

import json
import os
import threading
import zipfile
from io import BytesIO
from pathlib import Path

import pytest

from cfcore import datasets
from cfcore.datasets import Columns, DataError, load, read_header, save_upload, upload
from tests import layouts

ROWS = layouts.some_rows()
TABLE = layouts.table([("user", "item", "rating", "timestamp"), *ROWS])


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CFCORE_DATA_DIR", str(tmp_path / "data"))
    return tmp_path / "data"


def kept(home: Path) -> list[str]:
    return sorted(str(path.relative_to(home)) for path in home.rglob("*") if path.is_file())


def test_an_upload_is_read_back_by_its_name(home: Path) -> None:
    name = save_upload(TABLE, "my ratings.csv")
    ratings = load(name)
    assert len(ratings) == len(ROWS)
    assert (ratings.about.name, ratings.about.title) == (name, "my ratings.csv")
    assert datasets.on_disk(name)
    assert datasets.known(name)
    assert kept(home) == [f"uploads/{name}", f"uploads/{name}.json"]


def test_the_same_content_gets_the_same_name_and_other_columns_another() -> None:
    name = save_upload(TABLE, "a.csv")
    assert save_upload(TABLE, "b.csv") == name
    assert save_upload(TABLE, "b.csv", Columns("user", "item", "rating", "timestamp")) == name  # what is guessed anyway
    swapped = save_upload(TABLE, "a.csv", Columns("item", "user", "rating"))
    assert swapped != name
    assert load(swapped).n_users == load(name).n_items
    assert load(swapped).timestamp is None


@pytest.mark.parametrize("top", ["", "ml-1m"])
def test_a_zip_in_a_movielens_layout_can_be_uploaded(top: str) -> None:
    packed = layouts.into_zip(layouts.ml_1m(ROWS, layouts.some_films()), top)
    assert read_header(packed, "ml.zip") == []
    assert load(save_upload(packed, "ml.zip")).items.genre_names == ("Action", "Comedy", "Film-Noir")


def test_the_header_is_shown_so_that_columns_can_be_named() -> None:
    odd = layouts.table([("wer", "was", "wie, viel"), *(row[:3] for row in ROWS)])
    assert read_header(odd, "odd.csv") == ["wer", "was", "wie, viel"]
    assert read_header(layouts.into_zip({"odd.csv": odd, "README.txt": b"x"}), "odd.zip") == ["wer", "was", "wie, viel"]
    with pytest.raises(DataError, match="name them"):
        save_upload(odd, "odd.csv")
    assert len(load(save_upload(odd, "odd.csv", Columns("wer", "was", "wie, viel")))) == len(ROWS)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "is empty"),
        (b"\n".join(TABLE.split(b"\n")[:12]), "too few to learn from"),
        (TABLE + b"1,2,x,3\n", "line 23: the rating 'x'"),
        (layouts.into_zip({"a.csv": TABLE})[:-9], "not a complete zip"),
    ],
)
def test_what_is_refused_leaves_nothing_behind(home: Path, data: bytes, says: str) -> None:
    with pytest.raises(DataError, match=says):
        save_upload(data, "bad.csv")
    assert kept(home) == []


def test_limits_of_size_count_and_unpacked_size(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload, "UPLOAD_LIMIT_RATINGS", 10)
    with pytest.raises(DataError, match="at most 10 can be uploaded"):
        save_upload(TABLE, "many.csv")
    with pytest.raises(DataError, match="at most 20 MB can be uploaded"):
        save_upload(bytes(50_000_001), "large.csv")
    bomb = BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("ratings.csv", "w") as member:
        for _ in range(160):
            member.write(bytes(1_000_000))
    assert len(bomb.getvalue()) < 1_000_000
    with pytest.raises(DataError, match="unpacks to 160 MB, more than the 60 MB allowed"):
        save_upload(bomb.getvalue(), "bomb.zip")
    assert kept(home) == []


@pytest.mark.parametrize(
    "name",
    [
        "upload-../../../etc/passwd",
        "upload-0123456789abcde/",
        "upload-0123456789ABCDEF",
        "upload-0123456789abcdef\n",
        "upload-0123456789abcdef",
        "upload-",
    ],
)
def test_a_name_that_is_no_upload_here_is_refused(name: str) -> None:
    assert not datasets.on_disk(name)
    with pytest.raises(DataError, match="there is no upload"):
        load(name)


@pytest.mark.parametrize(
    ("filename", "title"),
    [
        ("plain.csv", "plain.csv"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\me\\films.csv", "films.csv"),
        ("a\nb\u202e\x00c.csv", "a b c.csv"),
        ("", "upload"),
        ("x" * 300 + ".csv", "x" * 50 + "….csv"),
    ],
)
def test_a_file_name_is_only_a_title(home: Path, filename: str, title: str) -> None:
    name = save_upload(TABLE, filename)
    assert load(name).about.title == title
    assert kept(home) == [f"uploads/{name}", f"uploads/{name}.json"]


def test_a_damaged_or_vanished_upload_says_so(home: Path) -> None:
    name = save_upload(TABLE, "a.csv")
    (home / "uploads" / f"{name}.json").write_text(json.dumps({"title": "a"}))
    with pytest.raises(DataError, match="damaged"):
        load(name)
    (home / "uploads" / f"{name}.json").unlink()
    assert not datasets.on_disk(name)
    assert save_upload(TABLE, "a.csv") == name  # bringing it again mends it
    assert len(load(name)) == len(ROWS)


def test_a_folder_that_takes_no_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("CFCORE_DATA_DIR", str(tmp_path / "file" / "data"))
    with pytest.raises(DataError, match="set CFCORE_DATA_DIR to a folder that can be written to"):
        save_upload(TABLE, "a.csv")


def test_a_full_disk_leaves_nothing_behind(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(source: str, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(DataError, match="no space left on device"):
        save_upload(TABLE, "a.csv")
    assert kept(home) == []


def test_two_people_may_bring_the_same_file_at_once(home: Path) -> None:
    names: list[str] = []
    both = threading.Barrier(4)

    def bring(number: int) -> None:
        both.wait()
        names.append(save_upload(TABLE, f"{number}.csv"))

    threads = [threading.Thread(target=bring, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(names) == 4
    assert len(set(names)) == 1
    assert len(load(names[0])) == len(ROWS)
    assert len(kept(home)) == 2
