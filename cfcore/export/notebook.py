"""A run as a Jupyter notebook: the cells of the script, and its loss curves."""

from __future__ import annotations

from cfcore.export.script import cells_of
from cfcore.runs import Run


def to_notebook(run: Run) -> str:
    """The run as a notebook in Jupyter's format 4, without outputs.

    Raises:
        ValueError: as :func:`cfcore.export.script.cells_of`.
    """
    import nbformat  # here: it takes 13 MB that no page needs until somebody asks for a notebook
    from nbformat import v4

    cells = []
    for number, cell in enumerate(cells_of(run, chart=True)):
        made = v4.new_code_cell(cell.text) if cell.code else v4.new_markdown_cell(cell.text)
        made["id"] = f"cell-{number}"  # the same run makes the same file
        cells.append(made)
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    book = v4.new_notebook(cells=cells, metadata=kernel)
    nbformat.validate(book)
    return f"{nbformat.writes(book)}\n"
