"""Pieces of the lesson files as text: what a person takes home is the code that ran, not a second version of it."""

from __future__ import annotations

import ast
from pathlib import Path

import cfcore.approaches

_FOLDER = Path(cfcore.approaches.__file__).parent


def cut(lesson: str, *names: str, without: tuple[str, ...] = ()) -> str:
    """The functions and classes ``names`` of the file ``lesson`` of the approaches, without some of their methods.

    The file is read, not imported: that would import torch.

    Raises:
        ValueError: the lesson has none of that name.
    """
    text = (_FOLDER / f"{lesson}.py").read_text(encoding="utf-8")
    found = {node.name: node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    missing = [name for name in names if name not in found]
    if missing:
        raise ValueError(f"the lesson {lesson} has no {', '.join(missing)}")
    return "\n\n\n".join(_source(text.splitlines(), found[name], without) for name in names)


def _source(lines: list[str], node: ast.FunctionDef | ast.ClassDef, without: tuple[str, ...]) -> str:
    dropped: set[int] = set()
    for part in node.body:
        if isinstance(part, ast.FunctionDef) and part.name in without:
            dropped |= set(range(part.lineno - 1, (part.end_lineno or part.lineno) + 1))  # with the blank line before
    kept = [line for number, line in enumerate(lines, 1) if number not in dropped]
    end = (node.end_lineno or node.lineno) - len(dropped)
    return "\n".join(kept[node.lineno - 1 : end]).rstrip()
