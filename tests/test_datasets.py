"""The readers: what is written in a layout is read back, and the real files come out whole."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cfcore import datasets
from cfcore.config import FOLDS, SplitConfig
from cfcore.datasets import Columns, DataError, guess_columns, load
from cfcore.ratings import Ratings, make_split
from tests import layouts
from tests.conftest import REAL_DATA

Triple = tuple[Any, Any, float]


def triples(ratings: Ratings, rows: np.ndarray | slice = slice(None)) -> list[Triple]:
    users = ratings.users.user_id[ratings.user_idx[rows]].tolist()
    items = ratings.items.item_id[ratings.item_idx[rows]].tolist()
    return list(zip(users, items, ratings.rating[rows].tolist(), strict=True))


def rows_of(stars: list[float], smallest: int = 4) -> st.SearchStrategy[list[layouts.Row]]:
    row = st.tuples(st.integers(1, 9), st.integers(1, 12), st.sampled_from(stars), st.integers(0, 2**31))
    rows = st.lists(row, min_size=smallest, max_size=40, unique_by=lambda row: row[:2])
    return rows.filter(lambda rows: all(len({row[at] for row in rows}) > 1 for at in range(3)))


def films_of(letters: st.SearchStrategy[str]) -> st.SearchStrategy[dict[int, tuple[str, list[str]]]]:
    genres: list[str] = [*layouts.GENRES[1:]]
    held = st.lists(st.sampled_from(genres), unique=True, max_size=3)
    return st.dictionaries(st.integers(1, 15), st.tuples(st.text(letters, min_size=1, max_size=12), held), min_size=1)


LATIN = st.characters(codec="latin-1", exclude_characters="\n\r", exclude_categories=())
ANY = st.characters(codec="utf-8", exclude_characters="\r\0")
WHOLE = [1.0, 2.0, 3.0, 4.0, 5.0]
HALF = [n / 2 for n in range(1, 11)]


def check_films(ratings: Ratings, films: Mapping[int, tuple[str, list[str]]]) -> None:
    """Every listed film is an item, in the order of the file; rated films that are not listed follow."""
    ids = ratings.items.item_id.tolist()
    assert ids[: len(films)] == list(films)
    assert ids[len(films) :] == sorted({item for _, item, _ in triples(ratings)} - set(films))
    for at, (title, genres) in enumerate(films.values()):
        assert ratings.items.title[at] == title.strip()
        assert {ratings.items.genre_names[g] for g in np.flatnonzero(ratings.items.genres[at])} == set(genres)


def check_read(source: Path, rows: list[layouts.Row], films: Mapping[int, tuple[str, list[str]]]) -> Ratings:
    ratings = load(source)
    assert triples(ratings) == [row[:3] for row in rows]
    assert ratings.timestamp is not None
    assert ratings.timestamp.tolist() == [row[3] for row in rows]
    assert (ratings.user_idx.dtype, ratings.item_idx.dtype, ratings.rating.dtype) == (np.int32, np.int32, np.float32)
    assert ratings.users.user_id.tolist() == sorted({row[0] for row in rows})
    check_films(ratings, films)
    return ratings


def put(files: Mapping[str, bytes], how: str, base: Path) -> Path:
    if how == "folder":
        return layouts.into_folder(files, base / "data")
    path = base / "data.zip"
    path.write_bytes(layouts.into_zip(files, top="inner" if how == "zip with a folder" else ""))
    return path


PACKINGS = st.sampled_from(["folder", "zip", "zip with a folder"])


@settings(deadline=None, max_examples=40)
@given(rows=rows_of(WHOLE), films=films_of(LATIN), how=PACKINGS, data=st.data())
def test_ml_100k_layout_round_trip(
    rows: list[layouts.Row], films: dict[int, tuple[str, list[str]]], how: str, data: st.DataObject
) -> None:
    held = data.draw(st.lists(st.sampled_from(rows), unique=True, min_size=1, max_size=len(rows) - 1))
    with tempfile.TemporaryDirectory() as base:
        ratings = check_read(put(layouts.ml_100k(rows, films, {"u3": held}), how, Path(base)), rows, films)
    assert ratings.scale == (1.0, 5.0)
    assert list(ratings.folds) == ["u3"]
    split = make_split(ratings, SplitConfig.of("u3"))
    assert sorted(triples(ratings, split.valid)) == sorted(row[:3] for row in held)
    assert split.valid.tolist() == sorted(split.valid.tolist())
    assert len(split.train) + len(held) == len(rows)


@settings(deadline=None, max_examples=40)
@given(rows=rows_of(WHOLE), films=films_of(LATIN), how=PACKINGS)
def test_ml_1m_layout_round_trip(rows: list[layouts.Row], films: dict[int, tuple[str, list[str]]], how: str) -> None:
    with tempfile.TemporaryDirectory() as base:
        ratings = check_read(put(layouts.ml_1m(rows, films), how, Path(base)), rows, films)
    assert ratings.scale == (1.0, 5.0)
    assert not ratings.folds


@settings(deadline=None, max_examples=40)
@given(rows=rows_of(HALF), films=films_of(ANY), how=PACKINGS)
def test_ml_latest_layout_round_trip(
    rows: list[layouts.Row], films: dict[int, tuple[str, list[str]]], how: str
) -> None:
    with tempfile.TemporaryDirectory() as base:
        ratings = check_read(put(layouts.ml_latest(rows, films), how, Path(base)), rows, films)
    assert ratings.scale == (0.5, 5.0)


@settings(deadline=None, max_examples=60)
@given(
    rows=rows_of(HALF),
    names=st.dictionaries(st.integers(1, 12), st.text(ANY.filter(lambda mark: mark.strip() == mark), min_size=1)),
    delimiter=st.sampled_from(",;\t"),
    mark=st.sampled_from([b"", b"\xef\xbb\xbf"]),
)
def test_plain_table_round_trip(rows: list[layouts.Row], names: dict[int, str], delimiter: str, mark: bytes) -> None:
    lines = [("title", "userId", "stars", "MOVIE_ID"), *((names.get(m, ""), f"u{u}", r, m) for u, m, r, _ in rows)]
    with tempfile.TemporaryDirectory() as base:
        path = Path(base) / "mine.csv"
        path.write_bytes(mark + layouts.table(lines, delimiter))
        ratings = load(path)
    assert triples(ratings) == [(f"u{u}", m, r) for u, m, r, _ in rows]
    assert ratings.timestamp is None
    for item, title in zip(ratings.items.item_id.tolist(), ratings.items.title, strict=True):
        assert title == names.get(item, str(item)).strip()


@pytest.mark.parametrize(
    ("header", "found"),
    [
        (["userId", "movieId", "rating", "timestamp"], ("userId", "movieId", "rating", "timestamp", None)),
        (["User ID", "ITEM", "Score"], ("User ID", "ITEM", "Score", None, None)),
        (["uid", "product", "stars", "ts", "name"], ("uid", "product", "stars", "ts", "name")),
        (["date", "user", "movie", "movie_id", "rating"], ("user", "movie_id", "rating", "date", "movie")),
        (["user_id", "title", "rating"], ("user_id", "title", "rating", None, None)),
        (["who", "what", "rating"], None),
        (["user", "item"], None),
    ],
)
def test_usual_column_names_are_recognised(header: list[str], found: tuple | None) -> None:
    assert guess_columns(header) == (None if found is None else Columns(*found))


def test_columns_can_be_named(tmp_path: Path) -> None:
    path = tmp_path / "odd.csv"
    path.write_bytes(b"a,b,c,d\n3,x,k,20\n4,y,k,10\n5,x,l,30\n2,y,l,40\n")
    ratings = load(path, columns=Columns(user="b", item="c", rating="a", timestamp="d"))
    assert triples(ratings) == [("x", "k", 3), ("y", "k", 4), ("x", "l", 5), ("y", "l", 2)]
    assert ratings.timestamp is not None
    assert ratings.timestamp.tolist() == [20, 10, 30, 40]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("86400", 86_400),
        ("1577923872.9", 1_577_923_872),
        ("1577923872000", 1_577_923_872),
        ("2020-01-02", 1_577_923_200),
        ("2020-01-02 00:11:12", 1_577_923_872),
        ("2020-01-02T01:11:12+01:00", 1_577_923_872),
    ],
)
def test_times_may_be_seconds_milliseconds_or_dates(tmp_path: Path, text: str, seconds: int) -> None:
    path = tmp_path / "times.csv"
    path.write_text(f"user,item,rating,time\na,x,1,{text}\nb,y,2,{text}\n")
    timestamp = load(path).timestamp
    assert timestamp is not None
    assert timestamp.tolist() == [seconds, seconds]


def test_latin1_decimal_commas_and_text_ids_that_look_like_numbers(tmp_path: Path) -> None:
    path = tmp_path / "excel.csv"
    path.write_bytes("user;item;rating\n007;Amélie;3,5\n7;Amélie;4\n7;Été;1\n".encode("latin-1"))
    assert triples(load(path)) == [("007", "Amélie", 3.5), ("7", "Amélie", 4.0), ("7", "Été", 1.0)]


def test_a_table_without_a_header_is_read_as_user_item_rating_time(tmp_path: Path) -> None:
    rows = layouts.some_rows()
    path = tmp_path / "u.data"
    path.write_bytes(layouts.ml_100k(rows, {})["u.data"])
    ratings = load(path)
    assert triples(ratings) == [row[:3] for row in rows]
    assert "no header line" in ratings.about.notes[0]


def test_of_a_pair_rated_twice_the_later_rating_stays(tmp_path: Path) -> None:
    rows = [(1, 5, 4.0, 300), (2, 5, 3.0, 50), (1, 5, 1.0, 100), (1, 6, 2.0, 10), (2, 6, 1.0, 70), (2, 6, 5.0, 70)]
    folder = layouts.into_folder(layouts.ml_1m(rows, layouts.some_films()), tmp_path / "twice")
    ratings = load(folder)
    assert triples(ratings) == [(1, 5, 4), (2, 5, 3), (1, 6, 2), (2, 6, 5)]  # of equal times, the last in the file
    assert ratings.about.notes == ("2 earlier ratings of a user and item rated again were left out.",)


@pytest.mark.parametrize(
    ("stars", "scale"),
    [([1, 5, 3], (1, 5)), ([2, 3, 2], (1, 5)), ([0.5, 3, 2], (0.5, 5)), ([0, 3, 2], (0, 3)), ([10, 70, 99], (10, 99))],
)
def test_the_scale_follows_from_the_ratings(tmp_path: Path, stars: list[float], scale: tuple[float, float]) -> None:
    path = tmp_path / "scale.csv"
    path.write_bytes(layouts.table([("user", "item", "rating"), *((at, 9 - at, r) for at, r in enumerate(stars))]))
    assert load(path).scale == scale


@pytest.mark.parametrize(
    ("title", "year"),
    [
        ("Heat (1995)", 1995),
        ("Heat (1995) ", 1995),
        ("Land Before Time (1995) (V)", 1995),
        ("Death Note (2006–2007)", 2006),
        ("Fawlty Towers (1975-1979)", 1975),
        ("2001: A Space Odyssey (1968)", 1968),
        ("Cosmos", 0),
        ("1984", 0),
    ],
)
def test_the_year_is_found_in_the_title(tmp_path: Path, title: str, year: int) -> None:
    films = {10: (title, []), 11: ("Other", [])}
    ratings = load(layouts.into_folder(layouts.ml_latest(layouts.some_rows(), films), tmp_path / "years"))
    assert ratings.items.year[0] == year


def test_ml_100k_takes_the_year_from_the_release_date_where_the_title_has_none(tmp_path: Path) -> None:
    films = {10: ("unknown", []), 11: ("Other (1971)", [])}
    ratings = load(layouts.into_folder(layouts.ml_100k(layouts.some_rows(), films), tmp_path / "dates"))
    assert ratings.items.year[:2].tolist() == [1995, 1971]


def test_two_films_of_one_title_stay_two(tmp_path: Path) -> None:
    films = {10: ("Chasing Amy (1997)", []), 11: ("Chasing Amy (1997)", [])}
    ratings = load(layouts.into_folder(layouts.ml_100k(layouts.some_rows(n_items=2), films), tmp_path / "same"))
    assert ratings.items.title.tolist() == ["Chasing Amy (1997)"] * 2
    assert ratings.n_items == 2


def test_ids_in_the_csv_layout_may_be_text(tmp_path: Path) -> None:
    files = {
        "ratings.csv": b"userId,movieId,rating,timestamp\nann,tt7,3,1\nbob,tt7,4,2\nbob,8,5,3\n",
        "movies.csv": b"movieId,title,genres\n8,Heat (1995),Crime\ntt9,Rated by nobody,Drama\n",
    }
    ratings = load(layouts.into_folder(files, tmp_path / "text"))
    assert triples(ratings) == [("ann", "tt7", 3), ("bob", "tt7", 4), ("bob", "8", 5)]
    assert ratings.items.item_id.tolist() == ["8", "tt9", "tt7"]
    assert ratings.items.title.tolist() == ["Heat (1995)", "Rated by nobody", "Item tt7"]


@pytest.mark.skipif(not (REAL_DATA / "ml-100k").exists(), reason="no copy of MovieLens 100k beside the project")
def test_the_real_ml_100k_comes_out_whole() -> None:
    folder = REAL_DATA / "ml-100k"
    ratings = load(folder)
    assert (len(ratings), ratings.n_users, ratings.n_items, ratings.scale) == (100_000, 943, 1682, (1.0, 5.0))
    assert ratings.about.title == "MovieLens 100K"
    assert not ratings.about.notes
    assert ratings.items.title[266] == "unknown"
    assert ratings.items.genre_text()[0] == "Animation, Children's, Comedy"
    assert len(ratings.items.title) - len(set(ratings.items.title)) == 18
    for fold in FOLDS:
        lines = [line.split("\t") for line in (folder / f"{fold}.test").read_text().splitlines()]
        want = sorted((int(u), int(i), float(r)) for u, i, r, _ in lines)
        assert sorted(triples(ratings, ratings.folds[fold])) == want
    assert np.array_equal(np.sort(np.concatenate([ratings.folds[fold] for fold in FOLDS])), np.arange(100_000))


@pytest.mark.skipif(not (REAL_DATA / "ml-latest-small").exists(), reason="no copy of it beside the project")
def test_the_real_ml_latest_small_comes_out_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CFCORE_DATA_DIR", str(REAL_DATA))
    assert datasets.on_disk("ml-latest-small")
    ratings = load("ml-latest-small")
    assert (len(ratings), ratings.n_users, ratings.n_items, ratings.scale) == (100_836, 610, 9742, (0.5, 5.0))
    assert "(no genres listed)" not in ratings.items.genre_names
    assert len(ratings.items.genre_names) == 19
    at = ratings.items.item_id.tolist().index(147_250)
    assert (ratings.items.year[at], str(ratings.items.title[at])[:14]) == (0, "The Adventures")


def test_names_paths_and_what_is_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CFCORE_DATA_DIR", str(tmp_path))
    assert list(datasets.SOURCES) == ["sample", "ml-100k", "ml-latest-small", "ml-1m", "ml-25m", "ml-32m"]
    assert [name for name in datasets.SOURCES if datasets.on_disk(name)] == ["sample"]
    with pytest.raises(DataError, match=r"MovieLens 1M is not on this computer: download it"):
        load("ml-1m")
    files = layouts.ml_1m(layouts.some_rows(), layouts.some_films())
    packed = layouts.into_zip(files, top="ml-1m")
    (tmp_path / "ml-1m.zip").write_bytes(packed[:-30])
    assert not datasets.on_disk("ml-1m")
    with pytest.raises(DataError, match="not a complete copy"):
        load("ml-1m")
    (tmp_path / "ml-1m.zip").write_bytes(packed)
    assert datasets.on_disk("ml-1m")
    assert load("ml-1m").about.name == "ml-1m"
    path = str(tmp_path / "ml-1m.zip")
    assert (load(path).about.name, load(path).about.title) == (path, "MovieLens 1M")
    (tmp_path / "ml-100k").mkdir()
    assert not datasets.on_disk("ml-100k")
    layouts.into_folder(layouts.ml_100k(layouts.some_rows(), layouts.some_films()), tmp_path / "ml-100k")
    assert datasets.on_disk("ml-100k")
    with pytest.raises(DataError, match="no data set and no file 'ml-200k'"):
        load("ml-200k")
