"""All measurements that have a target: ``python -m benchmarks [--quick] [--only NAME ...] [--out FOLDER]``.

Prints each table as soon as it is made and writes all of them, with a chart, to ``docs/benchmarks.md`` (``--out``
chooses another folder). Needs ``requirements-bench.txt``. ``--quick`` takes fewer turns and smaller sizes.
"""

from __future__ import annotations

import argparse
import importlib
import platform
import time
from importlib.metadata import version
from pathlib import Path

import psutil

from benchmarks.chart import save_chart
from benchmarks.table import Section, to_markdown

SECTIONS = {
    "lessons": "benchmarks.lessons",
    "peers": "benchmarks.peers",
    "ladder": "benchmarks.ladder",
    "pages": "benchmarks.pages",
    "memory": "benchmarks.memory",
    "scale": "benchmarks.scale",
}
LIBRARIES = ("torch", "fastai", "numpy", "pandas", "streamlit", "scikit-learn")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer turns, smaller sizes")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS), metavar="NAME")
    parser.add_argument("--out", type=Path, default=Path("docs"), metavar="FOLDER")
    options = parser.parse_args()
    began = time.perf_counter()
    head = _head(quick=options.quick)
    print(head)
    sections: list[Section] = []
    for name in options.only:
        module = importlib.import_module(SECTIONS[name])
        sections.append(getattr(module, name)(quick=options.quick))
        print(to_markdown(sections[-1]), flush=True)
    minutes = (time.perf_counter() - began) / 60
    options.out.mkdir(parents=True, exist_ok=True)
    save_chart(sections, options.out / "benchmarks.svg")
    for figure in (section.figure for section in sections if section.figure):
        figure.chart.configure(background="white").save(str(options.out / figure.name))
    text = [head, "![Each ratio against its target](benchmarks.svg)\n", *map(to_markdown, sections)]
    text.append(
        "Why a target is not reached, and what was tried, stands in [decisions](decisions.md).\n\n"
        f"Made in {minutes:.0f} minutes.\n"
    )
    (options.out / "benchmarks.md").write_text("\n".join(text), encoding="utf-8")
    print(f"{options.out / 'benchmarks.md'}, in {minutes:.1f} minutes")


def _head(*, quick: bool) -> str:
    versions = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    load = psutil.getloadavg()[0]
    return (
        "# Benchmarks\n\n"
        f"Made by `python -m benchmarks{' --quick' if quick else ''}` on {psutil.cpu_count()} cores and "
        f"{psutil.virtual_memory().total / 1e9:.0f} GB, load {load:.1f} at the start, Python "
        f"{platform.python_version()}, {versions}. Ratios are between figures of this one run, taken in turns; "
        "milliseconds say nothing about another machine.\n"
    )


if __name__ == "__main__":
    main()
