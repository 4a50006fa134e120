"""Approaches that behave badly on purpose; a worker that preloads this module has them, and does not warm up."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

import numpy as np

from cfcore import worker as cfcore_worker
from cfcore.approaches.registry import APPROACHES, ApproachInfo
from cfcore.config import RunConfig, SplitConfig
from cfcore.models import DotModel
from cfcore.ratings import Split
from cfcore.training import EpochResult, OnBatch, OnEpoch, OnStart, StopTraining

warm_ups: list[str] = []
let_go = threading.Event()
KEYS = ("fake_endless", "fake_killed", "fake_greedy", "fake_broken")


def dask_setup(worker: Any) -> None:
    cfcore_worker._warm_up = lambda: warm_ups.append("asked for")  # seconds of importing that most tests do not need
    sys.modules["cfcore.approaches.fake"] = sys.modules[__name__]
    cfcore_worker.TASKS["fold_in"] = __name__
    for key in KEYS:
        cast(dict, APPROACHES)[key] = ApproachInfo(
            key=key,
            title=key,
            summary="",
            module="fake",
            preset=RunConfig(approach=key),
            preset_split=SplitConfig(),
            settings={},
        )


def train(split: Split, config: RunConfig, on_start: OnStart, on_epoch: OnEpoch, on_batch: OnBatch) -> DotModel:
    """One epoch, and in the second what the name says."""
    with suppress(StopTraining):
        on_epoch(EpochResult(epoch=1, train_loss=2.0, valid_loss=2.5, seconds=0.25))
        match config.approach:
            case "fake_endless":
                step_for_ever(on_batch)
            case "fake_killed":
                os.kill(os.getpid(), signal.SIGKILL)
            case "fake_greedy":
                blocks = []
                while True:
                    blocks.append(np.ones(2_000_000))
                    time.sleep(0.005)  # nobody could tell in time otherwise
            case _:
                raise RuntimeError("the gears are stuck")
    return DotModel(
        user_factors=np.zeros((split.ratings.n_users, 0), dtype=np.float32),
        item_factors=np.zeros((split.ratings.n_items, 0), dtype=np.float32),
        offset=3.0,
    )


def run(inputs: dict[str, Any], on_progress: Callable[[float], None]) -> dict[str, np.ndarray]:
    """A task beside training that does what its inputs say."""
    if "refuse" in inputs:
        raise ValueError(inputs["refuse"])
    if "raise" in inputs:
        raise KeyError("mislaid")
    if "noisy_seconds" in inputs:
        end = time.monotonic() + inputs["noisy_seconds"]
        while time.monotonic() < end:
            on_progress(0.5)
            time.sleep(0.001)
        return {}
    if "wait_for_stop" in inputs:
        on_progress(0.5)
        let_go.wait()
        let_go.clear()
        return {}
    return {"doubled": 2 * inputs["numbers"]}


def warmed_up() -> bool:
    return bool(warm_ups)


def step_for_ever(on_batch: OnBatch) -> None:
    while True:
        on_batch(2.0)
        time.sleep(0.001)
