"""Forcing files and folders to the disk, which delta-rs leaves to the operating system."""

import os
from collections.abc import Iterable
from pathlib import Path

from overround.stopwatch import timed


@timed("store_fsync_s")
def to_disk(paths: Iterable[Path]) -> None:
    """Force files, or the entries of folders, to the disk, one after the other."""
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def new_folder(folder: Path, above: Path) -> None:
    """Make a folder below another one and force its entries in the folders between to the disk."""
    if not folder.exists():
        folder.mkdir(parents=True, exist_ok=True)
        to_disk(parent for parent in folder.parents if parent.is_relative_to(above))


def sync(folder: Path, version: int) -> None:
    """Force the log entry of a commit to a table to the disk; its data files are there already."""
    log = folder / "_delta_log" / f"{version:020d}.json"
    # a new table is an entry in the store's root
    new = (folder, folder.parent, folder.parent.parent) if version == 0 else ()
    to_disk((log, log.parent, *new))
