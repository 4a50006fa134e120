"""The data sets by name, where they lie, and reading one of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType

from cfcore.datasets import sample
from cfcore.datasets.columns import Columns
from cfcore.datasets.errors import DataError, quoted
from cfcore.datasets.files import open_files
from cfcore.datasets.movielens import missing_of
from cfcore.datasets.places import data_dir
from cfcore.datasets.read import read
from cfcore.datasets.upload import is_upload, load_upload, stored_upload
from cfcore.ratings import About, Ratings

_HARPER_KONSTAN = (
    "F. Maxwell Harper and Joseph A. Konstan. 2015. The MovieLens Datasets: History and Context. "
    "ACM Transactions on Interactive Intelligent Systems 5, 4: 19:1-19:19. https://doi.org/10.1145/2827872"
)
_CLOSED = "GroupLens terms: for research; no redistribution and no commercial use without their permission."
_OPEN = "GroupLens terms: for research; redistribution under the same terms; no commercial use without permission."


@dataclass(frozen=True, kw_only=True)
class Source:
    """A data set of the catalogue. ``md5`` is ``None`` where the publisher's ``.md5`` file beside the zip gives it."""

    name: str
    title: str
    summary: str
    licence: str
    citation: str = ""
    url_path: str = ""
    md5: str | None = None
    size_mb: float = 0.0
    n_ratings: int
    simulated: bool = False

    @property
    def layout(self) -> str:
        """The name of the file with its ratings."""
        return {"ml-100k": "u.data", "ml-1m": "ratings.dat"}.get(self.name, "ratings.csv")

    def about(self, name: str | None = None) -> About:
        return About(
            name=name or self.name,
            title=self.title,
            licence=self.licence,
            citation=self.citation,
            simulated=self.simulated,
        )


def _movielens(name: str, title: str, summary: str, licence: str, md5: str | None, mb: float, n: int) -> Source:
    return Source(
        name=name,
        title=title,
        summary=summary,
        licence=licence,
        citation=_HARPER_KONSTAN,
        url_path=f"{name}.zip",
        md5=md5,
        size_mb=mb,
        n_ratings=n,
    )


_SOURCES = (
    Source(
        name="sample",
        title="Sample (simulated)",
        summary="Simulated ratings of real films by invented people; needs no network.",
        licence="MIT, as this program: the ratings are simulated, the film facts are common knowledge.",
        n_ratings=sample.N_RATINGS,
        simulated=True,
    ),
    _movielens(
        "ml-100k",
        "MovieLens 100K",
        "100,000 ratings of 1,682 films by 943 people, 1997 to 1998; comes with five published folds.",
        _CLOSED,
        "0e33842e24a9c977be4e0107933c0723",
        4.9,
        100_000,
    ),
    _movielens(
        "ml-latest-small",
        "MovieLens latest small",
        "100,836 ratings in half stars of 9,742 films by 610 people, 1996 to 2018.",
        _OPEN,
        None,
        1.0,
        100_836,
    ),
    _movielens(
        "ml-1m",
        "MovieLens 1M",
        "1,000,209 ratings of about 3,900 films by 6,040 people, 2000 to 2003.",
        _CLOSED,
        "c4d9eecfca2ab87c1945afe126590906",
        5.9,
        1_000_209,
    ),
    _movielens(
        "ml-25m",
        "MovieLens 25M",
        "25,000,095 ratings in half stars of 62,423 films by 162,541 people, 1995 to 2019.",
        _OPEN,
        "6b51fb2759a8657d3bfcbfc42b592ada",
        262.0,
        25_000_095,
    ),
    _movielens(
        "ml-32m",
        "MovieLens 32M",
        "32,000,204 ratings in half stars of 87,585 films by 200,948 people, 1995 to 2023.",
        _OPEN,
        "d472be332d4daa821edc399621853b57",
        239.0,
        32_000_204,
    ),
)
SOURCES: Mapping[str, Source] = MappingProxyType({source.name: source for source in _SOURCES})


def known(name: str) -> bool:
    """Whether ``name`` is a data set by name (of the catalogue or an upload), not a path: what a link may ask for."""
    return name in SOURCES or is_upload(name)


def on_disk(name: str) -> bool:
    """Whether :func:`load` finds this data set here and its files are all there; unknown names are not."""
    if name == "sample":
        return True
    if name in SOURCES:
        return place_of(name) is not None
    return stored_upload(name) is not None


def source_of(name_or_path: str) -> Source | None:
    """The entry of the catalogue that :func:`load` reads here, also by its path.

    A path's name proves nothing: the folder or zip must have the files of that source, and as many ratings.
    """
    if name_or_path in SOURCES:
        return SOURCES[name_or_path]
    path = Path(name_or_path).expanduser()
    source = _named_as(path)
    try:
        changed = path.stat().st_mtime_ns
        return source if source is not None and _n_lines(path, source.layout, changed) == source.n_ratings else None
    except (DataError, OSError, ValueError):  # it has gone, or is none of ours
        return None


@lru_cache(maxsize=32)
def _n_lines(path: Path, layout: str, changed: int) -> int:
    """The ratings in the file ``layout`` of a folder or zip, which was last ``changed`` then."""
    with open_files(path, path.name) as files:
        if missing_of(files) is not None:
            return 0
        with files.open(layout) as stream:
            lines = sum(block.count(b"\n") for block in iter(lambda: stream.read(1 << 20), b""))
    return lines - layout.endswith(".csv")  # whose first line is the header


def load(name_or_path: str | Path, *, columns: Columns | None = None) -> Ratings:
    """Read a data set by name, or from a folder, zip or table of ratings by path. Never downloads.

    Raises:
        DataError: it is not there, or not readable.
    """
    name = str(name_or_path)
    if name == "sample":
        return sample.sample(SOURCES["sample"].about())
    if name in SOURCES:
        place = place_of(name)
        if place is None:
            raise DataError(_not_here(name))
        return read(place, SOURCES[name].about(), place.name)
    if name.startswith("upload-"):
        return load_upload(name)
    path = Path(name_or_path).expanduser()
    try:
        there = path.exists()
    except (OSError, ValueError):  # a name too long, or with a null character
        there = False
    if not there:
        raise DataError(
            f"there is no data set and no file {quoted(name)}: choose from {', '.join(SOURCES)}, "
            "or give the path of a folder, a zip or a CSV file"
        )
    label = path.name or name
    known = _named_as(path)
    about = About(name=name, title=label) if known is None else known.about(name)
    return read(path, about, label, columns)


def place_of(name: str) -> Path | None:
    """The folder or the zip of a source in the data folder, when it has all it needs, else ``None``."""
    for place in (data_dir() / name, data_dir() / f"{name}.zip"):
        try:
            if place.exists():
                with open_files(place, place.name) as files:
                    if missing_of(files) is None:
                        return place
        except (DataError, OSError):  # half there is not there
            continue
    return None


def _named_as(path: Path) -> Source | None:
    """The source of MovieLens that a folder or zip is named after."""
    source = SOURCES.get(path.stem if path.suffix == ".zip" else path.name)
    return None if source is None or source.simulated else source


def _not_here(name: str) -> str:
    place = data_dir() / f"{name}.zip"
    if place.exists():
        return f"{place} is not a complete copy of {SOURCES[name].title}: download it again on the Data page"
    return (
        f"{SOURCES[name].title} is not on this computer: download it on the Data page, or put {name}.zip "
        f"or the folder {name} from grouplens.org into {data_dir()}"
    )
