"""Memory of a process that runs for years: given back, instead of kept by every thread that once used some.

On glibc each thread allocates from a heap of its own, and Arrow's own allocator keeps what it has had: over
10,000 polls that was 180 MB.
"""

import ctypes
import os
import sys
from functools import cache

_ARENA_MAX = -8  # M_ARENA_MAX of mallopt(3)


def lean() -> None:
    """Let this whole process use few heaps, and Arrow the system's allocator: for a command to call before it loads anything."""
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")  # read when pyarrow is loaded
    if libc := _glibc():
        libc.mallopt(_ARENA_MAX, 2)


def give_back() -> None:
    """Return to the system what is free in the heaps; takes some milliseconds."""
    if libc := _glibc():
        libc.malloc_trim(0)


@cache
def _glibc() -> ctypes.CDLL | None:
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)
    return libc if hasattr(libc, "malloc_trim") and hasattr(libc, "mallopt") else None
