"""Data that cannot be used says what is wrong, where, and what to do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cfcore.datasets import DataError, load
from tests import layouts

GOOD = layouts.ml_100k(layouts.some_rows(), layouts.some_films(), {"u1": layouts.some_rows()[:2]})
GOOD_1M = layouts.ml_1m(layouts.some_rows(), layouts.some_films())
GOOD_CSV = layouts.ml_latest(layouts.some_rows(half=True), layouts.some_films())


@pytest.mark.parametrize(
    ("files", "name", "change", "says"),
    [
        (GOOD, "u.item", None, "data has no file u.item"),
        (GOOD, "u.data", lambda data: b"", "u.data is empty"),
        (GOOD, "u.data", lambda data: data + b"7\t8\t3\n", r"u.data, line 22 has 3 fields where 4 are needed"),
        (GOOD, "u.data", lambda data: b"7\t8\t3\t4\t5\n" + data, r"u.data, line 1 has 5 fields"),
        (GOOD, "u.data", lambda data: data + b"7\t8\tfive\t1\n", r"line 22: the rating 'five' is not a number"),
        (GOOD, "u.data", lambda data: data + b"7\t8\tnan\t1\n", r"line 22: the rating 'nan' is not a number"),
        (GOOD, "u.data", lambda data: data + b"x\t8\t3\t1\n", r"line 22: the user 'x' is not a number"),
        (GOOD, "u.data", lambda data: data + b"7\t99999999999999999999\t3\t1\n", "too large"),
        (GOOD, "u.item", lambda data: data + b"99|cut off|01-Jan\n", r"u.item, line 8 is not an id, a title"),
        (GOOD, "u1.test", lambda data: b"1\t99\t3\t1\n", r"u1.test names ratings that u.data does not hold"),
        (GOOD_1M, "movies.dat", None, "data has no file movies.dat"),
        (GOOD_1M, "ratings.dat", lambda data: data + b"1::2::inf::4\n", r"line 22: the rating 'inf' is not a number"),
        (GOOD_1M, "movies.dat", lambda data: data + b"12:Title\n", r"movies.dat, line 8 is not of the form"),
        (GOOD_CSV, "ratings.csv", lambda data: data + b"7,8,x,1\n", r"ratings.csv, line 23: the rating 'x'"),
        (GOOD_CSV, "ratings.csv", lambda data: data + b"7,8\n", r"ratings.csv, line 23 has 2 fields"),
        (GOOD_CSV, "ratings.csv", lambda data: data + b"7,8,1,2,3\n", r"ratings.csv, line 23 has 5 fields"),
        (GOOD_CSV, "movies.csv", lambda data: data + b"9,Good, Bad,Drama\n", r"movies.csv, line 9 has 4 fields"),
        (GOOD_CSV, "movies.csv", lambda data: b"a" + data, r"movies.csv needs the columns movieId and title"),
    ],
)
def test_a_damaged_data_set_names_file_and_line(
    tmp_path: Path, files: dict[str, bytes], name: str, change: Callable[[bytes], bytes] | None, says: str
) -> None:
    broken = {**files, name: change(files[name])} if change else {key: files[key] for key in files if key != name}
    with pytest.raises(DataError, match=says):
        load(layouts.into_folder(broken, tmp_path / "data"))


HEAD = b"user,item,rating\n"


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "mine.csv is empty"),
        (b"\n  \n", "mine.csv is empty"),
        (b"\0\1,\2\n", "not a text file"),
        (b"alone\n1\n", "only one column"),
        (b"who,what,rating\n1,2,3\n", r"no columns that look like user, item and rating .*'who', 'what'"),
        (HEAD, "a header line but no ratings"),
        (HEAD + b"1,2,3\n\n1,2,good\n", r"line 4: the rating 'good' is not a usable number"),
        (HEAD + b"1,2,inf\n", r"line 2: the rating 'inf'"),
        (HEAD + b"1,2,3\n1,3\n", r"line 3 has 2 fields where at least 3 are needed"),
        (HEAD + b"1,a, b,3\n", r"line 2 has 4 fields where the header names 3"),
        (HEAD + b"1,2,3\n1,a, b,3\n", r"line 3 has 4 fields where the header names 3"),
        (HEAD + b",2,3\n", r"line 2: the user is missing"),
        (HEAD + b'1,"2,3\n', "line 2 has a quotation mark that is never closed"),
        (HEAD + b"1,2,3\n1,3,4\n", "only one user"),
        (HEAD + b"1,2,3\n2,2,4\n", "only one item"),
        (HEAD + b"1,2,3\n2,3,3\n", "every rating in mine.csv is 3"),
    ],
)
def test_a_bad_table_names_line_and_remedy(tmp_path: Path, data: bytes, says: str) -> None:
    path = tmp_path / "mine.csv"
    path.write_bytes(data)
    with pytest.raises(DataError, match=says):
        load(path)


def test_bad_zips_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "data.zip"
    packed = layouts.into_zip(GOOD_CSV)
    damaged = bytearray(packed)
    damaged[60:64] = b"\xff\xff\xff\xff"  # inside the first member's compressed bytes
    for data, says in (
        (b"user,item\n", "not a zip file"),
        (packed[:-40], "not a complete zip file"),
        (bytes(damaged), "zip is damaged"),
        (layouts.into_zip({"notes.md": b"hello"}), "no ratings in a form we know"),
        (layouts.into_zip({"a.csv": b"1", "b.csv": b"1"}), "no ratings in a form we know"),
    ):
        path.write_bytes(data)
        with pytest.raises(DataError, match=says):
            load(path)
