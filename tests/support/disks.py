"""A small or a read-only disk, for as long as a test needs one."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.servers import require


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[None]:
    """A file system in memory at a folder, e.g. of `size=1m` or `ro`; only root can have one."""
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, text=True
    )
    require(not done.returncode, f"no disk can be mounted here: {done.stderr.strip()}", of_machine=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)
