"""Where the five lessons do the same thing: seven things every training does, found in the files that train.

A mark is found by a piece of its line's text, so that it moves with the line. Whoever changes the line has to change
the piece as well: a test follows the running code and sees whether each marked line does what its mark says.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

MARKS: Mapping[str, str] = {
    "weights": "The first, random weights",
    "lookup": "Rows are looked up",
    "predict": "The prediction",
    "loss": "The loss",
    "gradient": "The gradient",
    "step": "The step",
    "validate": "The held-out ratings",
}
NUMBERS: Mapping[str, int] = {mark: number for number, mark in enumerate(MARKS, start=1)}

_IN_COLLAB_LEARNER = ("weights", "lookup", "predict", "loss")
_IN_FIT = ("gradient", "step", "validate")

PLACES: Mapping[str, Sequence[tuple[str, tuple[str, ...]]]] = {  # by file: a piece of a line, and what the line does
    "scratch": (
        ("U = torch.rand(", ("weights",)),
        ("V = torch.rand(", ("weights",)),
        ("loss = train_loss(U, V)", ("loss",)),
        ("loss.backward()", ("gradient",)),
        ("w -= lr * w.grad", ("step",)),
        ("valid = valid_loss(U, V)", ("validate",)),
        ("(user_rows @ U) * (movie_rows @ V)", ("lookup", "predict")),
        ("torch.sparse.mm(user_rows, U) * torch.sparse.mm(movie_rows, V)", ("lookup", "predict")),
        ("U.index_select(0, users) * V.index_select(0, movies)", ("lookup", "predict")),
        ("given * torch.addmm(R, U, V.T, beta=-1)", ("lookup", "predict")),
        ("return (predictions - ratings).square().mean()", ("loss",)),
        ("return errors.flatten() @ errors.flatten() / len(ratings)", ("loss",)),
    ),
    "pytorch": (
        ("model = EmbeddingNet(", ("weights",)),
        ("predictions = model(users[rows], movies[rows])", ("lookup", "predict")),
        ("loss = mse(predictions, ratings[rows])", ("loss",)),
        ("loss.backward()", ("gradient",)),
        ("optimizer.step()", ("step",)),
        ("valid_loss = mse(", ("validate",)),
    ),
    "embedding_net": (
        ("= nn.Embedding(", ("weights",)),
        ("= nn.Linear(", ("weights",)),
        ("self.user(users), self.user_bias(users)", ("lookup",)),
        ("return self.output(torch.relu(self.hidden(x)))", ("predict",)),
    ),
    "fastai_custom": (
        ("model = CollabNet(", ("weights",)),
        ("super().forward(x[:, 0], x[:, 1])", ("lookup", "predict")),
        ("learn = Learner(dls, model, loss_func=", ("loss",)),
        ("fit(learn, config, as_model", _IN_FIT),
    ),
    "fastai_nn": (("learn = collab_learner(", _IN_COLLAB_LEARNER), ("fit(learn, config, as_model", _IN_FIT)),
    "fastai_dot": (("learn = collab_learner(", _IN_COLLAB_LEARNER), ("fit(learn, config, as_model", _IN_FIT)),
    "fastai_parts": (("learner.fit_one_cycle(", _IN_FIT),),
}

# Who does it. Columns: from scratch, PyTorch, a Learner around the same model, collab_learner.
HANDS = ("From scratch", "PyTorch", "fastai Learner", "collab_learner")
TAKEN: Mapping[str, tuple[str, str, str, str]] = {
    "weights": ("torch.rand", "nn.Module keeps them", "nn.Module keeps them", "built, sizes and all"),
    "lookup": ("a product, or an index", "nn.Embedding", "nn.Embedding", "built"),
    "predict": ("you write it", "you write it", "you write it", "built"),
    "loss": ("you write it", "nn.MSELoss", "MSELossFlat, safe shapes", "MSELossFlat, safe shapes"),
    "gradient": ("loss.backward()", "loss.backward()", "the Learner", "the Learner"),
    "step": ("you write it", "an optimizer", "Adam, one-cycle", "Adam, one-cycle"),
    "validate": ("you write it", "you write it", "after every epoch", "after every epoch"),
}


@dataclass(frozen=True, kw_only=True)
class Line:
    """A marked line: its ``number`` in the file ``name``, counted from 1, its ``text``, and the ``marks`` on it."""

    name: str
    number: int
    text: str
    marks: tuple[str, ...]


def marked(source: Path) -> tuple[Line, ...]:
    """The marked lines of a source file, from its top; none where it does nothing of the kind.

    Raises:
        ValueError: a piece of text that a mark is found by is no longer in the file.
    """
    lines = source.read_text(encoding="utf-8").splitlines()
    found: list[Line] = []
    for piece, marks in PLACES.get(source.stem, ()):
        at = [number for number, text in enumerate(lines, start=1) if piece in text]
        if not at:
            raise ValueError(f"no line of {source.name} holds {piece!r} any more: mend its mark")
        found += [Line(name=source.name, number=n, text=lines[n - 1].strip(), marks=marks) for n in at]
    return tuple(sorted(found, key=lambda line: line.number))


def sign(marks: Sequence[str]) -> str:
    """One mark, or several in a row, by their numbers: ``(5)``, ``(1-4)``."""
    first, last = NUMBERS[marks[0]], NUMBERS[marks[-1]]
    return f"({first})" if first == last else f"({first}-{last})"


def with_signs(source: Path) -> str:
    """The file from its first definition on; in a margin on the left the number of each line, and its marks."""
    signs = {line.number: sign(line.marks) for line in marked(source)}
    width = 1 + max((len(each) for each in signs.values()), default=0)
    text = source.read_text(encoding="utf-8")
    lines = list(enumerate(text.splitlines(), start=1))[_first_definition(text) - 1 :]
    return "\n".join(f"{number:>3} {signs.get(number, ''):<{width}}{line}".rstrip() for number, line in lines)


def _first_definition(text: str) -> int:
    """The line after docstring and imports."""
    body = ast.parse(text).body
    told = (ast.Import, ast.ImportFrom, ast.Expr)
    first = next(node for node in body if not isinstance(node, told))
    decorators = getattr(first, "decorator_list", [])
    return min([first.lineno, *(each.lineno for each in decorators)])


def places(sources: Sequence[Path]) -> dict[str, list[Line]]:
    """For each mark, the lines of these files that bear it, in the order of the files."""
    lines = [line for source in sources for line in marked(source)]
    return {mark: [line for line in lines if mark in line.marks] for mark in MARKS}
