"""Buttons that hand a run out: as a Python script, as a notebook, and as a report to print.

Files are made when somebody presses the button, outside the page.
"""

from __future__ import annotations

from functools import partial

import streamlit as st

from cfcore import datasets, export
from cfcore.export.script_data import public_source
from cfcore.runs import Run
from cfcore.ui import state

_BUTTONS = {
    "script": ("Python script", ":material/code:", "text/x-python"),
    "notebook": ("Notebook", ":material/menu_book:", "application/x-ipynb+json"),
    "report": ("Report", ":material/print:", "text/html"),
}
_ALONE = "Script and notebook train the same run without this app and end with its losses: "
_REPORT = "The report is one page to print; it opens without a network."


def take_home(run: Run, page: str) -> None:
    """The files of an ended run; ``page`` keeps the buttons of two pages apart."""
    dataset, kinds = run.request.dataset, [kind for kind in export.HOME if export.can_leave(run, kind)]
    public = public_source(dataset) is not None
    if not public and not datasets.on_disk(dataset):  # an upload that was removed since
        kinds = [kind for kind in kinds if kind == "report"]
    if not kinds:
        return
    stem = f"{run.request.config.approach}-{run.id[:6]}"
    st.markdown("**Take it home**")
    with st.container(horizontal=True, gap="small"):
        for kind in kinds:
            label, icon, mime = _BUTTONS[kind]
            name = export.home_name(run, kind, stem)
            st.download_button(
                label,
                data=partial(export.home_file, state.store(), run, kind, stem),
                file_name=name,
                mime="application/zip" if name.endswith(".zip") else mime,
                key=f"{page}:take-home:{kind}",
                on_click="ignore",
                icon=icon,
            )
    how = (
        "they download MovieLens, and name at their top the packages that they need."
        if public
        else "each is a zip with its ratings (ratings.csv, movies.csv) and requirements.txt."
    )
    st.caption(f"{_ALONE}{how} {_REPORT}" if len(kinds) > 1 else _REPORT)
