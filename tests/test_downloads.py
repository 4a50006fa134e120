"""Files that are made at a press outlast the reruns of a class, for a while: with Streamlit's own manager."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest
from streamlit.runtime.media_file_manager import MediaFileManager
from streamlit.runtime.media_file_storage import MediaFileStorageError
from streamlit.runtime.memory_media_file_storage import MemoryMediaFileStorage

from cfcore.ui import downloads

RERUNS = 200  # of thirty people in ten seconds


def test_a_file_outlasts_everybodys_reruns_and_is_dropped_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """With Streamlit's own rule the second rerun drops it, before the browser has asked for it."""
    downloads.let_files_last()
    storage = MemoryMediaFileStorage("/media")
    manager = MediaFileManager(storage)
    url = manager.execute_deferred(manager.add_deferred(lambda: b"rank,person", "text/csv", "1.0", "board.csv"))
    name = url.rsplit("/", 1)[-1]
    for _ in range(RERUNS):
        manager.remove_orphaned_files()
    assert storage.get_file(name).content == b"rank,person"
    later = time.monotonic() + downloads.SECONDS + 1
    monkeypatch.setattr(downloads, "time", SimpleNamespace(monotonic=lambda: later))
    manager.remove_orphaned_files()
    with pytest.raises(MediaFileStorageError):
        storage.get_file(name)
