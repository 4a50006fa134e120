"""A data set whose every title, person and file name is made to be more than text, and a run that knows it."""

from __future__ import annotations

import numpy as np

from cfcore.datasets import save_upload
from cfcore.runs import Run
from tests import layouts
from tests.pages_support import FakeJobs, reread, trained

# Markup of every kind that Streamlit reads: HTML, Markdown, its colours, icons, formulas, code, signs, bare addresses.
MARKUP = (
    "<img id=planted src=x onerror=document.title='planted'>",
    "**strong** _slanted_ ~~gone~~ `code`",
    "[link](https://evil.example) ![](https://evil.example/x.png)",
    ":red[coloured] :material/home: :smile: $x^2$",
    "# heading -> sign <- sign -- sign >= sign",
    "www.evil.example me@evil.example https://evil.example",
    "&lt;b&gt; &copy; \\* | - [ ] <script>document.title='planted'</script>",
)
FORMULAS = ("=cmd|' /C calc'!A0", "+1+cmd", "-2+3+cmd", "@SUM(1,1)", "＝1+1", " =1+1")
SCRIPTS = ("\u202eright to left", "שלום עולם (1999)", "مرحبا (2001)", "👩‍👩‍👧 🎬 emoji (2010)")
TITLES = (*MARKUP, *FORMULAS, *SCRIPTS)
FILE = "<b id=planted>**mine** $x$.csv"


def person(k: int) -> str:
    return f"=**u{k}** <img id=planted src=x>"


def table(n_users: int = 24) -> bytes:
    """Ratings with a rank-1 taste, so that a model finds something; ids of films are markup as well."""
    random = np.random.default_rng(0)
    rows: list[tuple[object, ...]] = [("user", "item", "rating", "timestamp", "title")]
    for user in range(n_users):
        for at, title in enumerate(TITLES):
            if random.random() < 0.7:
                stars = int(np.clip(3 + (1 if (user + at) % 2 else -1) * random.integers(0, 3), 1, 5))
                rows.append((person(user), f"<i>{at}</i>", stars, 10**9 + user * 100 + at, title))
    return layouts.table(rows)


def plant(jobs: FakeJobs, approach: str = "als", visitor: str = "somebody", **settings) -> Run:
    """The data set, kept as an upload of the present data folder, and a named run on it."""
    run = trained(jobs, approach, dataset=save_upload(table(), FILE), visitor=visitor, **settings)
    jobs.store.rename(run.id, f"={MARKUP[0]} {MARKUP[1]}")
    return reread(jobs, run)
