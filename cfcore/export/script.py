"""A run as a program of its own: cells of text and code that need only public packages, never ``cfcore``.

The cells read the ratings, divide them and train as the run did, with its settings as literal values, and end with the
losses that the dashboard showed. One list of cells makes the script and the notebook.
"""

from __future__ import annotations

import ast
import sys
import textwrap
from importlib.metadata import version

from cfcore.approaches import describe
from cfcore.config import RunConfig, RunRequest
from cfcore.export.cells import one_line
from cfcore.export.script_data import data_code, data_imports, public_source, split_code, split_words
from cfcore.export.script_lessons import LESSONS
from cfcore.export.script_parts import Cell, code, text
from cfcore.runs import Run

WIDTH = 116  # characters of a comment


def requirements(config: RunConfig, *, chart: bool = False) -> list[str]:
    """The packages that the program of this approach imports, pinned as they are installed here."""
    names = (*LESSONS[config.approach](config).packages, "numpy", "pandas", *(["matplotlib"] if chart else []))
    return [f"{name}=={version(name).partition('+')[0]}" for name in names]  # +cpu says only where it runs


def cells_of(run: Run, *, chart: bool = False) -> list[Cell]:
    """The run as text and code; ``chart`` adds its loss curves at the end.

    Raises:
        ValueError: its approach has no script, or it has no epoch to compare with.
    """
    request = run.request
    config = request.config
    if config.approach not in LESSONS:
        raise ValueError(f"{describe(config.approach).title} has no script; choose a run of {', '.join(LESSONS)}")
    if not run.history:
        raise ValueError("this run has no finished epoch that a script could be compared with: train it again")
    lesson = LESSONS[config.approach](config)
    plotting = ("import matplotlib.pyplot as plt",) if chart else ()
    return [
        text(_introduction(run, requirements(config, chart=chart))),
        code(_sorted((*data_imports(request), *lesson.imports, *plotting))),
        text("## The run's settings"),
        code(_settings(config)),
        text(f"## The ratings\n\n{_about_data(request)}"),
        code(data_code(request)),
        text(f"## Two parts\n\n{split_words(request.split)}"),
        code(split_code(request)),
        *lesson.cells,
        text("## The same as on the dashboard?"),
        code(_comparison(run)),
        text("## Predictions against truth\n\nThe first ten ratings that were held out."),
        code(_TABLE),
        *([text("## The losses"), code(_CHART)] if chart else []),
    ]


def to_script(run: Run) -> str:
    """The run as a Python script.

    Raises:
        ValueError: as :func:`cells_of`.
    """
    cells = cells_of(run)
    # Inline script metadata (PEP 723): `uv run` and `pipx run` install what it asks for.
    asks = "\n".join(f'#     "{each}",' for each in requirements(run.request.config))
    lines = [f'# /// script\n# requires-python = ">=3.11"\n# dependencies = [\n{asks}\n# ]\n# ///']
    for at, cell in enumerate(cells):
        if cell.code and not cells[at - 1].code:
            lines.append("\n")  # directly below the comment on it
        else:
            code_below = cell if cell.code else cells[at + 1]
            apart = (at > 0 and _defines(cells[at - 1], -1)) or _defines(code_below, 0)
            lines.append("\n\n\n" if apart else "\n\n")
        lines.append(cell.text if cell.code else _comment(cell.text))
    return f"{''.join(lines)}\n"


_TABLE = """\
first = valid[:10]
compared = pd.DataFrame({"rating": rating[first], "prediction": predictions[:10].round(2)})
compared["title"] = films["title"].to_numpy()[movie[first]]
print(compared.to_string(index=False))
"""


_CHART = """\
at = np.arange(1, epochs + 1)
plt.plot(at, train_losses, label="train")
plt.plot(at, valid_losses, "o--", label="valid")
plt.xlabel("epoch")
plt.ylabel("loss (MSE)")
plt.legend()
plt.show()
"""


def _introduction(run: Run, pinned: list[str]) -> str:
    info, config = describe(run.request.config.approach), run.request.config
    stopped = ""
    if len(run.history) < config.epochs and run.status != "done":  # mf ends by itself, and does so here too
        stopped = f"\nThe run ended after {len(run.history)} of {config.epochs} epochs; this goes on to the last."
    return (
        f"# Collaborative filtering: {info.title}\n\n"
        f"{info.summary} This is run `{run.id}`, trained on {_name(run)}, as a program of its own: the same\n"
        f"settings, the same split and the same random numbers give the same losses.{stopped}\n\n"
        f"It needs Python 3.11 or newer, and\n\n    pip install {' '.join(pinned)}"
    )


def _name(run: Run) -> str:
    """The data set's title where nothing in it is read as markup or ends a comment."""
    return f"`{one_line(run.dataset_title or run.request.dataset).replace('`', chr(39))}`"


def _about_data(request: RunRequest) -> str:
    source = public_source(request.dataset)
    if source is None:
        whose = "The ratings are simulated" if request.dataset == "sample" else "The ratings are the run's own"
        return f"{whose}; `ratings.csv` and `movies.csv` came with this file. Run it in their folder."
    words = (
        "They are downloaded from GroupLens into the folder this runs in, unless they lie there already; the\n"
        "environment variable `MOVIELENS` names another folder.\n\n"
        f"{source.licence} {source.citation}"
    )
    if source.md5 is None:
        words += "\n\nGroupLens changes this data set from time to time; the losses are those of the copy trained on."
    return words


def _settings(config: RunConfig) -> str:
    lines = []
    for name in describe(config.approach).settings:
        value = getattr(config, name)
        if name == "y_range" and config.sigmoid == "no":
            lines.append("y_range = None  # no sigmoid")
        elif name not in ("lookup", "bias", "sigmoid") and value is not None:  # what those choose is written out below
            lines.append(f"{name} = {list(value) if name == 'layers' else value!r}")
    return "\n".join(lines)


def _comparison(run: Run) -> str:
    last = run.history[-1]
    return (
        f'shown = {{"epoch": {last.epoch}, "train": {last.train_loss!r}, "valid": {last.valid_loss!r}}}\n'
        'here = {"train": train_losses[shown["epoch"] - 1], "valid": valid_losses[shown["epoch"] - 1]}\n'
        'for part in ("train", "valid"):\n'
        "    print(f\"{part} loss after epoch {shown['epoch']}: {here[part]:.6f} here, {shown[part]:.6f} shown\")"
    )


def _sorted(imports: tuple[str, ...]) -> str:
    """Import lines in the usual order: the standard library first, ``import`` before ``from``, by name."""
    groups: dict[bool, set[str]] = {True: set(), False: set()}
    for line in imports:
        groups[line.split()[1].partition(".")[0] in sys.stdlib_module_names].add(line)
    return "\n\n".join(
        "\n".join(sorted(lines, key=lambda line: (line[:4] == "from", line))) for lines in groups.values()
    )


def _defines(cell: Cell, at: int) -> bool:
    """Whether the first (``at`` 0) or last (-1) statement of a cell of code is a function or a class."""
    return isinstance(ast.parse(cell.text).body[at], ast.FunctionDef | ast.ClassDef)


def _comment(markdown: str) -> str:
    """A text cell as comment lines."""
    paragraphs = []
    for paragraph in markdown.split("\n\n"):
        if paragraph.startswith("    "):
            paragraphs.append(f"#{paragraph}")
        else:
            words = " ".join(paragraph.lstrip("# ").split())
            paragraphs.append(textwrap.fill(words, WIDTH, initial_indent="# ", subsequent_indent="# "))
    return "\n#\n".join(paragraphs)
