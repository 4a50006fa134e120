"""Files that are made when somebody presses for them, and last until the browser has fetched them.

Streamlit drops a file that is in no page's elements at the end of the second rerun after it was made, of whichever
visitor. A file that is made at a press is in none, and thirty browsers that follow their runs rerun something twenty
times a second: the browser asked for what was gone, and the download ended with nothing.
"""

from __future__ import annotations

import math
import time

from streamlit.runtime.media_file_manager import MediaFileMetadata

SECONDS = 60.0  # from when a file was first seen in no page: enough for a slow line to ask for it


def let_files_last() -> None:
    """Have Streamlit drop a file not at the second rerun that finds it unused, but at one so many seconds later."""
    MediaFileMetadata.mark_for_delete = _note_since_when
    MediaFileMetadata.is_marked_for_delete = property(_is_old)  # pyright: ignore[reportAttributeAccessIssue]


def _note_since_when(self: MediaFileMetadata) -> None:
    self.__dict__.setdefault("unused_since", time.monotonic())


def _is_old(self: MediaFileMetadata) -> bool:
    return time.monotonic() - self.__dict__.get("unused_since", math.inf) > SECONDS
