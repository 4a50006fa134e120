"""Whether a worker on another machine has the Python and the libraries that this process has.

What crosses between the two is pickled by one and read by the other, and a run should give the same numbers wherever
it is trained. Versions are read from what is installed: to import torch would cost a page's process 500 MB.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version

LIBRARIES = ("distributed", "dask", "torch", "fastai", "numpy", "pandas", "scikit-learn", "scipy")
MISSING = "missing"


def versions() -> dict[str, str]:
    """Python's version and those of the libraries that a training is made of, by name."""
    found = {"Python": ".".join(platform.python_version_tuple()[:2])}  # a patch release changes nothing here
    for name in LIBRARIES:
        try:
            found[name] = version(name).partition("+")[0]  # torch's 2.13.0+cpu is 2.13.0
        except PackageNotFoundError:
            found[name] = MISSING
    return found


def difference(theirs: Mapping[str, str], ours: Mapping[str, str]) -> str:
    """What differs, as ``torch 2.12.0 there, 2.13.0 here``, or nothing."""
    names = [name for name in ours if theirs.get(name, MISSING) != ours[name]]
    return "; ".join(f"{name} {theirs.get(name, MISSING)} there, {ours[name]} here" for name in names)
