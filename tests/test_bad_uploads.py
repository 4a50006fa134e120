"""Uploads that were made to do harm, or are merely odd: refused in a sentence, or read as meant, in bounded memory."""

from __future__ import annotations

import io
import os
import stat
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cfcore.datasets import DataError, load, read_header, save_upload
from tests import layouts
from tests.conftest import printed

ROWS = [(user, item, rating) for user, item, rating, _ in layouts.some_rows(8, 9)]
HEAD = ("user", "item", "rating")
TABLE = layouts.table([HEAD, *ROWS])
FILMS = layouts.some_films()


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CFCORE_DATA_DIR", str(tmp_path / "data"))
    return tmp_path / "data"


def with_row(*row: object) -> bytes:
    return TABLE + layouts.table([row])


def wide(columns: int) -> bytes:
    extra = [f"c{k}" for k in range(columns - 3)]
    return layouts.table([(*HEAD, *extra), *((*row, *([""] * len(extra))) for row in ROWS)])


def zip_of_links(target: str) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        link = zipfile.ZipInfo("ratings.csv")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, target)
    return packed.getvalue()


def zip_of_many(n: int) -> bytes:
    return layouts.into_zip({"ratings.csv": TABLE} | {f"x{k}": b"" for k in range(n)})


def many_genres(n: int) -> bytes:
    films = {movie: (f"Film {movie}", [f"genre {movie}"]) for movie in range(n)}
    return layouts.into_zip(layouts.ml_latest(layouts.some_rows(half=True), films))


def lied_about() -> bytes:
    """A zip whose member unpacks to 100 MB and says 100 bytes."""
    packed = bytearray(layouts.into_zip({"ratings.csv": TABLE + b" " * 100_000_000}))
    at = packed.rindex(b"PK\1\2")
    packed[at + 24 : at + 28] = (100).to_bytes(4, "little")
    return bytes(packed)


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("a.csv", lambda: wide(51), "has 51 columns, more than the 50 that can be read"),
        ("a.csv", lambda: b"a," * 9_000_000, "has 9,000,001 columns"),
        ("a.zip", lambda: layouts.into_zip({"inner.zip": layouts.into_zip({"a.csv": TABLE})}), "no ratings in a form"),
        ("a.zip", lambda: layouts.into_zip({"a.csv": layouts.into_zip({"a.csv": TABLE})}), "a.csv is not a text file"),
        ("a.zip", lambda: zip_of_links("../../../../etc/passwd"), "holds no ratings in a form we know"),
        ("a.zip", lambda: layouts.into_zip({"": TABLE}), "holds no ratings in a form we know"),
        ("a.zip", lambda: zip_of_many(1001), "holds more than 1,000 files"),
        ("a.zip", lambda: many_genres(201), "names 201 genres, more than the 200 that can be read"),
        ("a.zip", lied_about, "cannot be read, the zip is damaged"),
        ("a.csv", lambda: with_row(1, 2, "four"), "the rating 'four' is not a usable number"),
        ("a.csv", lambda: with_row(1, 2, "nan"), "the rating 'nan' is not a usable number"),
        ("a.csv", lambda: with_row(1, 2, ""), "the rating '' is not a usable number"),
        ("a.csv", lambda: with_row(1, 2, "-inf"), "the rating '-inf' is not a usable number"),
        ("a.csv", lambda: with_row(1, 2, "1e7"), "the rating '1e7' is not a usable number"),
        ("a.csv", lambda: with_row(1, 2, "1e999"), "the rating '1e999' is not a usable number"),
        ("a.csv", lambda: with_row(1, 2), "has 2 fields where at least 3 are needed"),
        ("a.csv", lambda: with_row(1, 2, 3, 4), "has 4 fields where the header names 3"),
        ("a.csv", lambda: layouts.table([HEAD, *((7, *row[1:]) for row in ROWS)]), "of only one user"),
        ("a.csv", lambda: layouts.table([HEAD, *((k, 7, k % 5) for k in range(40))]), "of only one item"),
        ("a.csv", lambda: layouts.table([HEAD, *((*row[:2], 3) for row in ROWS)]), "every rating in a.csv is 3"),
    ],
)
def test_what_would_do_harm_or_makes_no_sense_is_refused(
    name: str, data: Callable[[], bytes], says: str, home: Path
) -> None:
    """Without its guard each is read, fails with a traceback, or takes the memory; and nothing of it is kept."""
    with pytest.raises(DataError, match=says):
        save_upload(data(), name)
    assert not home.exists()


def test_a_zip_only_gives_its_own_bytes(tmp_path: Path, home: Path) -> None:
    """A link to a good table on the disk is not followed; members with ways out of the folder are only odd names."""
    (tmp_path / "ratings.csv").write_bytes(TABLE)
    with pytest.raises(DataError, match="no ratings in a form we know"):
        save_upload(zip_of_links(str(tmp_path / "ratings.csv")), "link.zip")
    odd = layouts.into_zip({"../../outside.csv": TABLE, "/etc/outside.md": b"x", "..\\..\\outside.txt": b"x"})
    name = save_upload(odd, "../../odd.zip")
    assert len(load(name)) == len(ROWS)
    assert not list(tmp_path.rglob("outside*"))
    assert sorted(path.name for path in home.rglob("*") if path.is_file()) == [name, f"{name}.json"]


@pytest.mark.parametrize(
    "data",
    [
        TABLE,
        b"\xef\xbb\xbf" + TABLE,
        TABLE.decode().encode("utf-16"),
        TABLE.replace(b"\n", b"\r\n"),
        TABLE.replace(b"\n", b"\r"),
        layouts.table([HEAD, *ROWS], ";"),
        layouts.table([HEAD, *ROWS], "\t"),
        layouts.table([("user", "note", "item", "rating"), *((u, "é, caf\u00e9", i, r) for u, i, r in ROWS)]),
        layouts.table([(*HEAD, "note"), *((*row, "caf\u00e9") for row in ROWS)]).decode().encode("latin-1"),
        "\n".join(",".join(f'"{each}"' for each in row) for row in (HEAD, *ROWS)).encode(),
        "\n".join(" , ".join(map(str, row)) for row in (HEAD, *ROWS)).encode(),
        wide(50),
    ],
    ids=["plain", "bom", "utf-16", "crlf", "cr", ";", "tab", "extra", "latin-1", "quotes", "spaces", "50 columns"],
)
def test_the_same_ratings_written_in_other_ways_are_the_same(data: bytes) -> None:
    """Whichever of the two readers takes it: for numbers alone, or for text."""
    ratings = load(save_upload(data, "odd.csv"))
    assert ratings.rating.tolist() == [rating for _, _, rating in ROWS]
    assert ratings.users.user_id[ratings.user_idx].tolist() == [user for user, _, _ in ROWS]
    assert ratings.items.item_id[ratings.item_idx].tolist() == [item for _, item, _ in ROWS]


def test_ids_that_look_like_numbers_stay_apart() -> None:
    """``007`` and ``7`` are two people: taken for numbers, as by a reader of nothing but numbers, they would be one."""
    data = with_row("007", ROWS[0][1], 5) + layouts.table([("7", ROWS[0][1], 1)])
    ratings = load(save_upload(data, "a.csv"))
    assert {"007", "7"} <= set(ratings.users.user_id)
    assert len(ratings) == len(ROWS) + 2 - ((7, ROWS[0][1]) in {row[:2] for row in ROWS})


def test_ids_in_hexadecimal_stay_apart_from_the_numbers_they_stand_for() -> None:
    data = with_row("0x1a", ROWS[0][1], 5) + layouts.table([("26", ROWS[0][1], 1)])
    assert {"0x1a", "26"} <= set(load(save_upload(data, "a.csv")).users.user_id)


def test_files_that_are_not_read_may_be_long_or_damaged() -> None:
    """The tags of MovieLens are: counted as well, they would have a small set of ratings refused."""
    films = layouts.some_films()
    files = layouts.ml_latest(layouts.some_rows(half=True), films) | {"tags.csv": b"1,2,x\n" * 700_001}
    data = bytearray(layouts.into_zip(files | {"notes.txt": b"here" * 50}))
    at = data.index(b"notes.txt") + len(b"notes.txt")
    data[at : at + 4] = b"\xff\xff\xff\xff"
    assert len(load(save_upload(bytes(data), "set.zip"))) == len(layouts.some_rows(half=True))


def test_negative_ratings_are_ratings_and_their_scale_is_as_found() -> None:
    ratings = load(save_upload(layouts.table([HEAD, *((u, i, r - 3) for u, i, r in ROWS)]), "jester.csv"))
    assert ratings.scale == (float(ratings.rating.min()), float(ratings.rating.max()))
    assert ratings.scale[0] < 0


def test_rows_inside_a_quotation_that_is_never_closed_are_not_lost_in_silence() -> None:
    """The header would take in the rows up to the next quotation mark, and so would a title."""
    head, rows = ",".join((*HEAD, "title")), [",".join(map(str, (*row, "A film"))) for row in ROWS]
    with pytest.raises(DataError, match="a quotation mark that is never closed"):
        save_upload("\n".join([f'{head},"note', *rows[:3], f'{rows[3]},"x"', *rows[4:]]).encode(), "head.csv")
    with pytest.raises(DataError, match="line 5 has a quotation mark that is never closed"):
        save_upload("\n".join([head, *rows[:3], f'{rows[3][:-6]}"A film', *rows[4:]]).encode(), "end.csv")
    ratings = load(
        save_upload("\n".join([head, f'{rows[0][:-6]}"A film', *rows[1:3], 'a film"', *rows[3:]]).encode(), "title.csv")
    )
    assert len(ratings) == len(ROWS) - 2
    assert ratings.about.notes == (
        "1 cell holds a line break: where that is not meant, a quotation mark is not closed.",
    )
    unused = [f'{row},"x' if n == 0 else f'{row},x"' if n == 3 else f"{row},x" for n, row in enumerate(rows)]
    ratings = load(save_upload("\n".join([f"{head},note", *unused]).encode(), "unused.csv"))
    assert "1 cell holds a line break" in ratings.about.notes[-1]


@pytest.mark.parametrize("quote", [False, True])
def test_of_what_was_rated_again_the_last_is_kept_and_the_others_are_counted(quote: bool) -> None:
    """Quotation marks take the reader of text, their absence that of numbers: both say the same."""
    again = [(*ROWS[0][:2], 1), (*ROWS[0][:2], 4), (*ROWS[5][:2], 2)]
    lines = [",".join(f'"{each}"' if quote else str(each) for each in row) for row in (HEAD, *ROWS, *again)]
    ratings = load(save_upload("\n".join(lines).encode(), "again.csv"))
    assert len(ratings) == len(ROWS)
    assert ratings.about.notes == ("3 earlier ratings of a user and item rated again were left out.",)
    users, items = ratings.users.user_id[ratings.user_idx], ratings.items.item_id[ratings.item_idx]
    kept = {(user, item): rating for user, item, rating in zip(users, items, ratings.rating, strict=True)}
    assert kept[ROWS[0][:2]] == 4
    assert kept[ROWS[5][:2]] == 2


def test_the_header_of_a_column_named_like_a_zip_is_read() -> None:
    assert read_header(layouts.table([("PK", *HEAD), *((1, *row) for row in ROWS)]), "a.csv")[0] == "PK"


PEAK = """
import sys
from pathlib import Path
from cfcore.datasets import DataError, load, save_upload
import cfcore.datasets.movielens

def peak():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]) / 1024
path = Path({path!r})
data = path.read_bytes() if {upload} else None
before = peak()
try:
    said = len(load(path)) if data is None else save_upload(data, path.name)
except DataError as problem:
    said = problem
print(said, peak() - before, sep="|")
"""

linux = pytest.mark.skipif(sys.platform != "linux", reason="/proc/self/status")


def told_and_peak(path: Path, *, upload: bool) -> tuple[str, float]:
    """What came of reading a file, and by how many MB the peak of a fresh process grew through it."""
    told, megabytes = printed(PEAK.format(path=str(path), upload=upload), dict(os.environ)).split("|")
    return told, float(megabytes)


@linux
@pytest.mark.parametrize("packed", [False, True])
def test_ten_million_rows_are_refused_before_they_are_read(tmp_path: Path, packed: bool) -> None:
    """Within the allowed bytes; read first and counted afterwards they would take more than a gigabyte."""
    lines = b"user,item,rating\n" + b"1,2,3\n" * (9_990_000 if packed else 3_300_000)
    path = tmp_path / ("many.zip" if packed else "many.csv")
    path.write_bytes(layouts.into_zip({"many.csv": lines}) if packed else lines)
    told, megabytes = told_and_peak(path, upload=True)
    assert "lines; at most 500,000 ratings can be uploaded" in told
    assert megabytes < 60


@linux
def test_the_memory_of_a_large_table_is_bounded_by_its_rows(tmp_path: Path) -> None:
    """Half a million rows; as text, without the reader of numbers, each takes about 380 bytes."""
    n, random = 500_000, np.random.default_rng(0)
    columns = random.integers(1, (5_000, 9_000, 6), size=(n, 3))
    path = tmp_path / "large.csv"
    with path.open("w") as file:
        file.write("user,item,rating,timestamp\n")
        file.writelines(
            f"{user},{item},{rating},1{at:09d}\n" for at, (user, item, rating) in enumerate(columns.tolist())
        )
    told, megabytes = told_and_peak(path, upload=False)
    assert 0.9 * n < int(told) <= n
    assert megabytes * 2**20 / n < 250
