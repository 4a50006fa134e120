"""What a training frees is used again by its next step, and given back to the system at its end."""

import os
import sys
from types import SimpleNamespace

import pytest

from cfcore import memory
from cfcore.cluster_settings import ClusterSettings
from cfcore.own_workers import worker_environment
from tests.conftest import printed

glibc = pytest.mark.skipif(sys.platform != "linux", reason="the malloc of glibc")

FAULTS = """
import resource
from cfcore import approaches
from cfcore.approaches import make_config
from cfcore.config import SplitConfig
from cfcore.ratings import make_split
from tests.conftest import make_ratings

at_epoch = {}
def on_epoch(result):
    at_epoch[result.epoch] = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
split = make_split(make_ratings(n_users=400, n_items=400, n=40_000), SplitConfig.of("random"))
approaches.train(split, make_config("scratch", epochs=25, embedding_size=50), on_epoch)
print((at_epoch[25] - at_epoch[5]) / 20)
"""

GROWN = """
import psutil
from cfcore import approaches
from cfcore.approaches import make_config
from cfcore.config import SplitConfig
from cfcore.ratings import make_split
from tests.conftest import make_ratings

at_epoch = {}
def on_epoch(result):
    at_epoch[result.epoch] = psutil.Process().memory_info().rss / 2**20
split = make_split(make_ratings(n_users=900, n_items=1700, n=90_000), SplitConfig.of("random"))
approaches.train(split, make_config("scratch", epochs=120, embedding_size=50), on_epoch)
print(max(at_epoch.values()) - at_epoch[2])
"""

KEPT = """
import threading
import psutil
from cfcore.memory import give_back_freed_memory, reuse_freed_memory

def held():
    return psutil.Process().memory_info().rss / 2**20
reuse_freed_memory()
before = held()
def work():
    pieces = [bytearray(b"1") * 2**20 for _ in range(100)]
thread = threading.Thread(target=work)
thread.start()
thread.join()
after = held()
give_back_freed_memory()
print(after - before, held() - before)
"""


def numbers_of(script: str) -> list[float]:
    """What the script prints, in a process with the environment of a worker, where Dask's nanny has added to it."""
    workers = worker_environment(ClusterSettings.from_environment())
    return [float(word) for word in printed(script, {**workers, "MALLOC_TRIM_THRESHOLD_": "65536"}).split()]


@glibc
def test_an_epoch_does_not_fetch_its_memory_from_the_system_anew() -> None:
    """Without ``reuse_freed_memory`` an epoch of 32,000 rows of 50 numbers faults on thousands of pages."""
    (faults,) = numbers_of(FAULTS)
    one_tensor = 32_000 * 50 * 4 / os.sysconf("SC_PAGE_SIZE")
    assert faults < one_tensor  # of the six or so that a step takes


@glibc
def test_what_was_kept_is_given_back() -> None:
    """By a thread, as in a worker: in an arena of its own (without ``MALLOC_ARENA_MAX``) the top would stay."""
    kept, left = numbers_of(KEPT)
    assert kept > 80  # of the 100 MB that were freed
    assert left < 20


def test_memory_is_given_back_when_a_process_has_grown_and_not_before(monkeypatch: pytest.MonkeyPatch) -> None:
    held, given = iter([100, 104, 109, 107, 112, 115, 116]), []
    calls: list[int] = []
    monkeypatch.setattr(memory, "give_back_freed_memory", lambda: given.append(len(calls)))
    give_back = memory.GiveBackWhenGrown(8)
    monkeypatch.setattr(give_back, "_process", SimpleNamespace(memory_info=lambda: SimpleNamespace(rss=next(held))))
    for call in range(7):
        calls.append(call)
        give_back()
    assert given == [3, 7], "108 is allowed from 100 on, then 115 from 107 on"


@glibc
def test_a_long_training_holds_little_more_than_a_short_one() -> None:
    """Without giving back what lies between the snapshots, this grows by some 400 MB in 120 epochs."""
    assert float(printed(GROWN, {**os.environ, "MALLOC_ARENA_MAX": "1"})) < 150
