"""What the lessons of a script are made of: cells of text and code, and the pieces that several share."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Cell:
    """``code``, or text in Markdown."""

    text: str
    code: bool = False


def text(words: str) -> Cell:
    return Cell(text=words.strip("\n"))


def code(words: str) -> Cell:
    return Cell(text=words.strip("\n"), code=True)


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """What an approach adds to a script: its ``imports``, its ``cells`` and the packages they need.

    The cells leave the lists ``train_losses`` and ``valid_losses`` by epoch, and ``predictions`` (n_valid,).
    """

    imports: tuple[str, ...]
    cells: tuple[Cell, ...]
    packages: tuple[str, ...]


PRINT = """\
    train_losses.append({train})
    valid_losses.append({valid})
    print(f"epoch {{epoch:>3}}   train loss {{train_losses[-1]:.6f}}   valid loss {{valid_losses[-1]:.6f}}")
"""
TENSORS = """\
def tensors(rows):
    return torch.tensor(user[rows]), torch.tensor(movie[rows]), torch.tensor(rating[rows])
"""
