"""What a person takes home of a run: a script, a notebook, and a report to print.

Script and notebook are single files where they can download their ratings themselves; else they come as a zip with the
ratings and ``requirements.txt`` beside them.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Mapping

from cfcore import datasets
from cfcore.doctor import VECTORS
from cfcore.export.notebook import to_notebook
from cfcore.export.script import requirements, to_script
from cfcore.export.script_data import own_tables, public_source
from cfcore.export.script_lessons import LESSONS
from cfcore.ratings import Ratings
from cfcore.runs import Run, RunStore, StoreError

_PROGRAMS: Mapping[str, tuple[str, Callable[[Run], str]]] = {
    "script": ("py", to_script),
    "notebook": ("ipynb", to_notebook),
}
HOME = (*_PROGRAMS, "report")


def can_leave(run: Run, kind: str) -> bool:
    """Whether there is a file of this kind of the run: it has ended, and its approach has a script."""
    return not run.active and bool(run.history) and (kind == "report" or run.request.config.approach in LESSONS)


def home_name(run: Run, kind: str, stem: str) -> str:
    """The name of the file, of one of the kinds in :data:`HOME`."""
    if kind == "report":
        return f"{stem}-report.html"
    return f"{stem}.{_PROGRAMS[kind][0]}" if public_source(run.request.dataset) else f"{stem}-{kind}.zip"


def home_file(store: RunStore, run: Run, kind: str, stem: str) -> bytes:
    """The content of the file.

    Raises:
        ValueError: the run has no epoch, its approach has no script, or ratings that have to go along are not here.
    """
    if kind == "report":
        return _report(store, run).encode()
    ending, write = _PROGRAMS[kind]
    program = write(run)
    if public_source(run.request.dataset):
        return program.encode()
    files = {
        f"{stem}.{ending}": program,
        "requirements.txt": "".join(f"{each}\n" for each in requirements(run.request.config, chart=kind == "notebook")),
        **own_tables(run.request, datasets.load(run.request.dataset)),
    }
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(f"{stem}/{name}", content)
    return out.getvalue()


def _report(store: RunStore, run: Run) -> str:
    from cfcore.export.report import to_report  # here: it draws as our charts do, and the command line loads no charts

    ratings: Ratings | None = None
    if datasets.on_disk(run.request.dataset) or run.request.dataset not in datasets.SOURCES:
        try:
            ratings = datasets.load(run.request.dataset)
        except datasets.DataError:
            ratings = None  # an upload that was removed: the report says so
    try:
        arrays = store.arrays(run.id, *VECTORS)
    except StoreError:
        arrays = {}
    return to_report(run, ratings, arrays)
