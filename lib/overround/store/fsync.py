"""Forcing files and folders to the disk, which delta-rs leaves to the operating system."""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import unquote

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


def sync(folder: Path, version: int, *, data: bool = True) -> None:
    """Force a commit to a table to the disk.

    Parameters
    ----------
    folder : Path
        The table's.
    version : int
        Of the commit.
    data : bool
        Also its data files and the entries of all folders; not needed for files of
        `overround.store.data_files`, which forces them itself.
    """
    log = folder / "_delta_log" / f"{version:020d}.json"
    files, above = [], set()
    if data:
        # as bytes: text would also be split at Unicode line separators, which a name may contain
        files = [
            folder / unquote(action["add"]["path"])
            for line in log.read_bytes().splitlines()
            if "add" in (action := json.loads(line))
        ]
        # a new partition is an entry in the folder above it, a new table one in the store's root
        above = {parent for file in files for parent in file.parents if parent.is_relative_to(folder)}
        above |= {folder, folder.parent, folder.parent.parent}
    # data before log, entries of folders last
    to_disk((*files, log, log.parent, *sorted(above, reverse=True)))
