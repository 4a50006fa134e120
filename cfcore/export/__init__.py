"""Runs as files that other programs read.

``files`` writes what the command line leaves after a training; ``tables`` gives runs and their epochs as CSV and JSON;
``vectors`` gives what a run has learned, for the TensorFlow Embedding Projector, numpy and safetensors; ``home`` gives
a run as a script, a notebook and a report to print.
"""

from cfcore.export.files import to_json, write_folder
from cfcore.export.home import HOME, can_leave, home_file, home_name
from cfcore.export.tables import epochs_csv, runs_csv, runs_json
from cfcore.export.vectors import FACTORS, factors_npz, factors_safetensors, metadata_tsv, vectors_tsv

__all__ = [
    "FACTORS",
    "HOME",
    "can_leave",
    "epochs_csv",
    "factors_npz",
    "factors_safetensors",
    "home_file",
    "home_name",
    "metadata_tsv",
    "runs_csv",
    "runs_json",
    "to_json",
    "vectors_tsv",
    "write_folder",
]
