"""The board of a class as a table, one line a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cfcore.export.tables import run_row, run_row_names, write_csv
from cfcore.runs import Run
from cfcore.standings import Standing


def board_csv(places: Sequence[Standing], runs: Sequence[Run]) -> str:
    """Rank and name of each run's person as the board shows them, then all that is known of the run."""
    who = {each.visitor: each for each in places}
    rows: list[dict[str, Any]] = []
    for run in sorted(runs, key=lambda run: who[run.visitor].rank or len(places) + 1):
        standing = who[run.visitor]
        rows.append({"rank": standing.rank, "person": standing.who, **run_row(run)})
    return write_csv(["rank", "person", *run_row_names()], rows)
