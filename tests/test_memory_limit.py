"""The limit that the memory benchmark trains under is a real one."""

from __future__ import annotations

import subprocess
import sys

import pytest

from benchmarks.memory import inside, limited


def test_what_takes_more_than_the_limit_is_ended() -> None:
    """A group without its limit would measure, and hold nobody back."""
    with limited(200) as group:
        if group is None:
            pytest.skip("no control group with a limit on memory can be made here")
        with inside(group):
            most = subprocess.Popen([sys.executable, "-c", "b'1' * 300_000_000"])
        assert most.wait(60) != 0
        with inside(group):
            little = subprocess.Popen([sys.executable, "-c", "b'1' * 50_000_000"])
        assert little.wait(60) == 0
    assert not group.exists()
