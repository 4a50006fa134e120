"""Files that nobody would write: the readers read them or refuse them in a sentence, and do nothing else.

``CFCORE_FUZZ=20000 pytest tests/test_fuzz.py`` tries that many of each kind, all new ones, instead of the few that are
always the same.
"""

from __future__ import annotations

import os
import re
import tracemalloc
from collections.abc import Mapping

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cfcore.datasets import Columns, DataError, read_header
from cfcore.datasets.upload import _read
from cfcore.ratings import About
from cfcore.ui.recommend.exchange import from_csv, from_link, to_csv
from tests import layouts

MANY = int(os.environ.get("CFCORE_FUZZ", "0"))
ROWS, FILMS = layouts.some_rows(), layouts.some_films()
HALF = layouts.some_rows(half=True)
MOST_BYTES = 80e6  # at any moment; the files have some kilobytes, pyarrow's blocks are not counted

FULL = ("user", "item", "rating", "timestamp", "title")
TABLES = {
    "comma": layouts.table([FULL, *((*row, f"Film, {row[1]}") for row in ROWS)]),
    "semicolon and dates": layouts.table([FULL[:4], *((*row[:3], "2001-02-03 04:05:06") for row in ROWS)], ";"),
    "headerless": layouts.table(ROWS, "\t"),
    "numbers alone": layouts.table([FULL[:3], *(row[:3] for row in ROWS)]),
    "double colons": layouts.ml_1m(ROWS, FILMS)["ratings.dat"],
    "utf-16": layouts.table([FULL[:3], *(row[:3] for row in ROWS)]).decode().encode("utf-16"),
}
ZIPS = {
    "ml-100k": layouts.ml_100k(ROWS, FILMS, {"u1": ROWS[:3]}),
    "ml-1m": layouts.ml_1m(ROWS, FILMS),
    "ml-latest": layouts.ml_latest(HALF, FILMS),
    "one table": {"a.csv": TABLES["comma"]},
}
KNOWN: Mapping[str, int | str] = {str(movie): movie for movie in FILMS} | {"=id": "=id"}
PICKS = to_csv({10: 4.0, 11: 2.5, "=id": 5.0}, {10: "=cmd|' /C calc'!A0", 11: "Film, The"})

# What is put in: marks that structure, numbers that are none, are too large, or begin something else.
PIECES = [b",", b";", b"\t", b"::", b"|", b'"', b"\n", b"\r", b"\0", b" ", b"'", b"=", b"\xff\xfe", b"\xef\xbb\xbf"]
PIECES += [b"nan", b"inf", b"-1", b"1e999", b"1e-320", b"0x1f", b"True", b"1_0", b"007", b"+5", b"-0", b"9" * 400]
PIECES += [b"99999999999999999999", b"-9223372036854775808", b"18446744073709551615", b"2147483648"]
PIECES += [b"2001-13-45", b"9999-12-31", b"0001-01-01", b"1970-01-01T00:00:00+25:00", b"(1995)", b"(9999)"]
PIECES += [b"PK\3\4", b"PK\1\2", b"\xe2\x80\xae", b"\xc2\xa0", b"\xd9\xa1", b"\x85", b"\x1c", b"user", b"rating"]


@st.composite
def damaged(draw: st.DrawFn, data: bytes) -> bytes:
    """``data`` after one to eight changes: bytes other, gone, twice, or others put between or in a field's place."""
    for _ in range(draw(st.sampled_from([1, 1, 1, 2, 3, 8]))):
        at = draw(st.integers(0, max(len(data) - 1, 0)))
        to = min(len(data), at + draw(st.sampled_from([1, 1, 4, 40, 10_000])))
        how = draw(st.sampled_from(["flip", "put", "drop", "repeat", "field", "field", "any"]))
        if how == "flip":
            new = bytes([data[at] ^ 1 << draw(st.integers(0, 7))]) if data else b""
            data = data[:at] + new + data[at + 1 :]
        elif how == "put":
            data = data[:at] + draw(st.sampled_from(PIECES)) + data[at:]
        elif how == "drop":
            data = data[:at] + data[to:]
        elif how == "repeat":
            data = data[:to] + data[at:to] + data[to:]
        elif how == "any":
            data = data[:at] + draw(st.binary(max_size=8)) + data[to:]
        else:
            fields = [match.span() for match in re.finditer(rb"[^,;\t\n:|]+", data)]
            start, end = draw(st.sampled_from(fields)) if fields else (at, to)
            data = data[:start] + draw(st.sampled_from(PIECES)) + data[end:]
    return data


@st.composite
def damaged_zips(draw: st.DrawFn, files: Mapping[str, bytes]) -> bytes:
    """A zip of ``files`` with damage to one of them, to the zip itself, or to both."""
    where = draw(st.sampled_from(["member", "member", "zip", "both"]))
    if where != "zip":
        name = draw(st.sampled_from(sorted(files)))
        files = {**files, name: draw(damaged(files[name]))}
    packed = layouts.into_zip(files, draw(st.sampled_from(["", "top"])))
    return packed if where == "member" else draw(damaged(packed))


CELLS = st.one_of(
    st.sampled_from([piece.decode("latin-1") for piece in PIECES]),
    st.integers(-(2**70), 2**70).map(str),
    st.floats().map(repr),
    st.text(max_size=12),
    st.integers(1, 9).map(str),
)


@st.composite
def tables(draw: st.DrawFn) -> bytes:
    """A table by the grammar of tables: a header or none, a separator, cells of every kind, an encoding."""
    names = draw(st.permutations([*FULL, "other"]).map(lambda all_of_them: all_of_them[: draw(st.integers(1, 6))]))
    header = draw(st.sampled_from([True, True, True, False]))
    usual = {
        "rating": st.integers(1, 5).map(str),
        "user": st.integers(1, 9).map(str),
        "item": st.integers(1, 9).map(str),
    }
    odd = draw(st.integers(0, 3)) == 0
    columns = [CELLS if odd else usual.get(name, CELLS) for name in names]
    rows = draw(st.lists(st.tuples(*columns), max_size=30))
    if draw(st.booleans()) and rows:
        rows = [*rows, draw(st.lists(CELLS, max_size=8))]
    data = layouts.table([*([names] if header else []), *rows], draw(st.sampled_from([",", ";", "\t"])))
    encoding = draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "latin-1"]))
    return data.decode().encode(encoding, "replace")


def how_many(few: int) -> settings:
    """Always the same ``few`` examples; with ``CFCORE_FUZZ`` that many, other ones each time."""
    slow = [HealthCheck.too_slow, HealthCheck.data_too_large]
    n, again = MANY or few, not MANY
    return settings(max_examples=n, derandomize=again, database=None, deadline=None, suppress_health_check=slow)


def try_to_read(data: bytes, name: str) -> None:
    """By every way in: as the page looks at the header, reads what it recognises, and reads named columns."""
    for columns in (None, Columns("user", "item", "rating", "timestamp", "title"), Columns("item", "user", "rating")):
        try:
            read_header(data, name)
            ratings = _read(data, About(name="", title=name), columns)
        except DataError:
            continue
        assert ratings.n_users > 1
        assert ratings.rating.min() < ratings.rating.max()
        assert abs(ratings.rating).max() <= 1e6
        assert len(ratings.items.title) == ratings.n_items


@pytest.fixture(autouse=True)
def _bounded():
    """Small files take little memory at any moment, whatever they say of themselves."""
    tracemalloc.start()
    yield
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < MOST_BYTES


@pytest.mark.timeout(3600 if MANY else 300)
@pytest.mark.parametrize("kind", TABLES)
def test_a_damaged_table_is_read_or_refused(kind: str) -> None:
    """Any exception but DataError fails this, and so does a rating that is no number."""

    @how_many(20)
    @given(damaged(TABLES[kind]))
    def check(data: bytes) -> None:
        try_to_read(data, "a.csv")

    check()


@pytest.mark.timeout(3600 if MANY else 300)
@pytest.mark.parametrize("kind", ZIPS)
def test_a_damaged_zip_is_read_or_refused(kind: str) -> None:
    """Without ``Files._packed`` a damaged directory of a zip raises ValueError."""

    @how_many(30)
    @given(damaged_zips(ZIPS[kind]))
    def check(data: bytes) -> None:
        try_to_read(data, "a.zip")

    check()


@pytest.mark.timeout(3600 if MANY else 300)
def test_a_table_of_any_cells_is_read_or_refused() -> None:
    @how_many(50)
    @given(tables())
    def check(data: bytes) -> None:
        try_to_read(data, "a.csv")

    check()


@pytest.mark.timeout(3600 if MANY else 300)
def test_a_persons_own_ratings_are_read_or_refused() -> None:
    """From a file or an address: every rating kept is of a known film and on the scale, all else has its sentence."""

    @how_many(60)
    @given(
        damaged(PICKS) | tables(), st.text() | damaged(b"10:4,11:2.5,%3Did:5").map(lambda data: data.decode("latin-1"))
    )
    def check(data: bytes, link: str) -> None:
        for read in (from_csv(data, KNOWN, (0.5, 5.0)), from_link(link, KNOWN, (0.5, 5.0))):
            assert set(read.ratings) <= set(KNOWN.values())
            assert all(0.5 <= stars <= 5 for stars in read.ratings.values())
            assert len(read.told()) <= 21

    check()
