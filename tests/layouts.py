"""Writes small data sets in each layout that the readers know, with nothing shared with the readers."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

GENRES = ("unknown", "Action", "Comedy", "Film-Noir")
Row = tuple[int, int, float, int]  # user, movie, rating, time
Films = Mapping[int, tuple[str, Sequence[str]]]  # movie -> title, genres


def ml_100k(rows: Sequence[Row], films: Films, folds: Mapping[str, Sequence[Row]] | None = None) -> dict[str, bytes]:
    def tabbed(some: Sequence[Row]) -> bytes:
        return "".join(f"{u}\t{m}\t{r:g}\t{t}\n" for u, m, r, t in some).encode("latin-1")

    items = ""
    for movie, (title, genres) in films.items():
        held = genres or ["unknown"]
        items += f"{movie}|{title}|01-Jan-1995||http://example.org/{movie}|"
        items += "|".join(str(int(name in held)) for name in GENRES) + "\n"
    files = {
        "u.data": tabbed(rows),
        "u.item": items.encode("latin-1"),
        "u.genre": "".join(f"{name}|{at}\n" for at, name in enumerate(GENRES)).encode("latin-1") + b"\n",
    }
    for fold, some in (folds or {}).items():
        files[f"{fold}.base"] = tabbed([row for row in rows if row not in some])
        files[f"{fold}.test"] = tabbed(some)
    return files


def ml_1m(rows: Sequence[Row], films: Films) -> dict[str, bytes]:
    movies = "".join(f"{movie}::{title}::{'|'.join(genres)}\n" for movie, (title, genres) in films.items())
    return {
        "ratings.dat": "".join(f"{u}::{m}::{r:g}::{t}\n" for u, m, r, t in rows).encode("latin-1"),
        "movies.dat": movies.encode("latin-1"),
        "users.dat": b"1::F::1::10::48067\n",
    }


def ml_latest(rows: Sequence[Row], films: Films) -> dict[str, bytes]:
    movies = [(movie, title, "|".join(genres) or "(no genres listed)") for movie, (title, genres) in films.items()]
    return {
        "ratings.csv": table([("userId", "movieId", "rating", "timestamp"), *rows]),
        "movies.csv": table([("movieId", "title", "genres"), *movies]),
        "tags.csv": b"userId,movieId,tag,timestamp\n",
        "README.txt": b"about this data\n",
    }


def table(rows: Sequence[Sequence[object]], delimiter: str = ",") -> bytes:
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator="\n").writerows(rows)
    return text.getvalue().encode("utf-8")


def into_folder(files: Mapping[str, bytes], folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


def into_zip(files: Mapping[str, bytes], top: str = "") -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        if top:
            archive.writestr(zipfile.ZipInfo(f"{top}/"), b"")
        for name, data in files.items():  # without the time of day: the same files make the same zip
            archive.writestr(zipfile.ZipInfo(f"{top}/{name}" if top else name), data, zipfile.ZIP_DEFLATED)
    return packed.getvalue()


def some_rows(n_users: int = 6, n_items: int = 7, *, half: bool = False) -> list[Row]:
    """A dense little data set: every second pair, ratings that differ."""
    pairs = [(u, m) for u in range(1, n_users + 1) for m in range(10, 10 + n_items) if (u + m) % 2]
    return [(u, m, (u * m) % 5 + (0.5 if half else 1), 880_000_000 + 7 * at) for at, (u, m) in enumerate(pairs)]


def some_films(n_items: int = 7) -> dict[int, tuple[str, list[str]]]:
    return {m: (f"Film: {m}, The ({1950 + m})", [GENRES[1 + m % 3]]) for m in range(10, 10 + n_items)}
