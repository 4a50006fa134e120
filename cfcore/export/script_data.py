"""The first half of a script: get the ratings, number users and movies, and divide the rows as the run did.

A row of MovieLens is never part of what we write: the script downloads GroupLens's own archive. Ratings that have no
public address (the simulated sample, a person's own file) go along as ``ratings.csv`` and ``movies.csv``.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from cfcore.config import FOLDS, RunRequest, SplitConfig
from cfcore.datasets import Source, source_of
from cfcore.datasets.download import PUBLISHER
from cfcore.export.cells import one_line, safe
from cfcore.ratings import Ratings, make_split

NUMBERED = """\
user = pd.factorize(table["user"], sort=True)[0]  # (n,) from 0, without holes
movie = pd.Index(films["movie"]).get_indexer(table["movie"])  # (n,) the row of each movie in films
rating = table["rating"].to_numpy(np.float32)  # (n,)
n_users, n_movies = int(user.max()) + 1, len(films)
print(f"{len(rating):,} ratings of {n_movies:,} movies by {n_users:,} users")
"""

_DOWNLOAD = """\
data = Path(os.environ.get("MOVIELENS", "{name}"))
if not data.exists():
    address = "{address}"
    archive = urlopen(address).read()
    published = {md5}
    if hashlib.md5(archive).hexdigest() not in published:
        raise RuntimeError(f"{{address}} did not give the file that was published: try again later")
    zipfile.ZipFile(io.BytesIO(archive)).extractall(data.parent)
"""

_COLUMNS = """\
columns = ["user", "movie", "rating", "time"]
"""
_READ_100K = f"""\
{_COLUMNS}table = pd.read_csv(data / "u.data", sep="\\t", names=columns)
films = pd.read_csv(data / "u.item", sep="|", encoding="latin-1", names=["movie", "title"], usecols=[0, 1], quoting=3)
"""
_READ_1M = f"""\
{_COLUMNS}table = pd.read_csv(data / "ratings.dat", sep="::", engine="python", names=columns)
films = pd.read_csv(
    data / "movies.dat", sep="::", engine="python", encoding="latin-1", names=["movie", "title", "genres"]
)
"""
_READ_CSV = f"""\
{_COLUMNS}table = pd.read_csv(data / "ratings.csv", header=0, names=columns)
films = pd.read_csv(data / "movies.csv", header=0, names=["movie", "title", "genres"])
"""
_READ_OWN = """\
table = pd.read_csv("ratings.csv")
films = pd.read_csv("movies.csv", keep_default_na=False)  # a film may be called None
"""
_DOWNLOAD_IMPORTS = (
    "import hashlib",
    "import io",
    "import os",
    "import zipfile",
    "from pathlib import Path",
    "from urllib.request import urlopen",
)

_RANDOM = """\
split_seed = {seed}
shuffled = np.random.default_rng(split_seed).permutation(len(rating){tenth})
valid = np.sort(shuffled[: round(len(shuffled) * {fraction})])
train = np.setdiff1d(shuffled, valid)  # in the order of the file
"""
_TIME = """\
ratings_of = table.groupby("user")["time"]
turn = ratings_of.rank(method="first")  # 1 = this user's first rating
count = ratings_of.transform("size")
held_out = np.minimum(np.maximum(np.round(count * {fraction}), 1), count - 1)  # never a user's only rating
valid = np.flatnonzero(turn > count - held_out)
train = np.flatnonzero(turn <= count - held_out)
"""
_FOLD = """\
fold = pd.read_csv(data / "{kind}.test", sep="\\t", names=columns)
pairs, fold_pairs = (pd.MultiIndex.from_frame(each[["user", "movie"]]) for each in (table, fold))
valid = np.flatnonzero(pairs.isin(fold_pairs))
train = np.flatnonzero(~pairs.isin(fold_pairs))
"""
_OWN_FOLD = """\
valid = np.flatnonzero(table["valid"])
train = np.flatnonzero(table["valid"] == 0)
"""


def public_source(dataset: str) -> Source | None:
    """The entry of the catalogue that anybody can download this data set from, also where it was read by its path."""
    source = source_of(dataset)
    return source if source is not None and source.url_path else None


def data_imports(request: RunRequest) -> tuple[str, ...]:
    """What the code of :func:`data_code` and :func:`split_code` imports."""
    shared = ("import numpy as np", "import pandas as pd")
    return (*_DOWNLOAD_IMPORTS, *shared) if public_source(request.dataset) else shared


def data_code(request: RunRequest) -> str:
    """Code that reads ``table`` (a row for each rating) and ``films``, and numbers both from 0 as the run did."""
    source = public_source(request.dataset)
    if source is None:
        return f"{_READ_OWN}\n{NUMBERED}"
    md5 = f'"{source.md5}"' if source.md5 else 'urlopen(f"{address}.md5").read().decode()'
    fetch = _DOWNLOAD.format(name=source.name, address=f"{PUBLISHER}{source.url_path}", md5=md5)
    read = {"u.data": _READ_100K, "ratings.dat": _READ_1M}.get(source.layout, _READ_CSV)
    return f"{fetch}\n{read}\n{NUMBERED}"


def split_code(request: RunRequest) -> str:
    """Code that finds ``train`` and ``valid``, the rows of each part: what :func:`cfcore.ratings.make_split` does."""
    split = request.split
    if split.kind in FOLDS:
        code = _FOLD.format(kind=split.kind) if public_source(request.dataset) else _OWN_FOLD
    elif split.kind == "time":
        code = _TIME.format(fraction=split.valid_fraction)
    else:
        tenth = " // 10" if split.kind == "first10" else ""
        code = _RANDOM.format(seed=split.seed, tenth=tenth, fraction=split.valid_fraction)
    return f'{code}print(f"{{len(train):,}} ratings to train on, {{len(valid):,}} held out")\n'


def split_words(split: SplitConfig) -> str:
    """The split in a sentence."""
    if split.kind in FOLDS:
        return f"Held out is the published fold {split.kind}."
    share = f"{split.valid_fraction or 0:.0%}"
    if split.kind == "time":
        return f"Held out are each user's last {share} of ratings by time."
    some = "the first tenth of the file" if split.kind == "first10" else "all ratings"
    return f"Held out is a random {share} of {some}."


def own_tables(request: RunRequest, ratings: Ratings) -> Mapping[str, str]:
    """``ratings.csv`` and ``movies.csv`` of data without a public address, by name.

    Their rows keep their order, which decides which of them a seed holds out. Users and movies are numbered from 1: no
    id can be taken for a formula, and none tells who somebody is.
    """
    table = pd.DataFrame({"user": ratings.user_idx + 1, "movie": ratings.item_idx + 1, "rating": ratings.rating})
    if ratings.timestamp is not None:
        table["time"] = ratings.timestamp
    if request.split.kind in FOLDS:
        table["valid"] = np.isin(np.arange(len(ratings)), make_split(ratings, request.split).valid).astype(int)
    titles = [safe(one_line(title)) for title in ratings.items.title]
    films = pd.DataFrame({"movie": np.arange(1, ratings.n_items + 1), "title": titles})
    return {
        "ratings.csv": table.to_csv(index=False, float_format="%.9g", lineterminator="\n"),
        "movies.csv": films.to_csv(index=False, lineterminator="\n"),
    }
