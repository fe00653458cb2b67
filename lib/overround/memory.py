"""Memory that was freed: returned to the system instead of kept by allocators.

With glibc each thread allocates from an arena of its own, and Arrow's allocator keeps freed memory: over
10,000 polls that came to 180 MB, and as much for reading two million prices.
"""

import ctypes
import os
import sys
from functools import cache

_ARENA_MAX = -8  # M_ARENA_MAX of mallopt(3)


def limit_arenas() -> None:
    """Limit glibc to two arenas, and Arrow to the system's allocator; call it before anything is loaded."""
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")  # pyarrow reads it when it is loaded
    if libc := _glibc():
        libc.mallopt(_ARENA_MAX, 2)


def trim() -> None:
    """Return free memory to the system; takes some milliseconds.

    In Arrow 26 `release_unused` of its system pool does not, unless that pool is the default (no issue
    upstream found).
    """
    if libc := _glibc():
        libc.malloc_trim(0)


@cache
def _glibc() -> ctypes.CDLL | None:
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)
    return libc if hasattr(libc, "malloc_trim") and hasattr(libc, "mallopt") else None
