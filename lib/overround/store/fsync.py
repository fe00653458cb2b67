"""Forcing files and folders to the disk, which delta-rs leaves to the operating system."""

import errno
import logging
import os
import stat
from collections.abc import Iterable
from pathlib import Path

from overround.stopwatch import timed

_log = logging.getLogger(__name__)
# what a network or shared folder (CIFS, VirtualBox, some FUSE mounts) answers where only files can be forced
_NOT_FOR_FOLDERS = {errno.EINVAL, errno.EBADF, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}
_warned: set[int] = set()  # numbers of such file systems


@timed("store_fsync_s")
def to_disk(paths: Iterable[Path]) -> None:
    """Force files, or the entries of folders, to the disk, one after the other.

    A file system that can force files but no folders gets one warning and is used, as databases do.
    """
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        except OSError as error:
            entry = os.fstat(descriptor)
            if not stat.S_ISDIR(entry.st_mode) or error.errno not in _NOT_FOR_FOLDERS:
                raise
            if entry.st_dev not in _warned:
                _warned.add(entry.st_dev)
                _log.warning(
                    "%s: this file system cannot force a folder to the disk (%s); rows that were stored just "
                    "before a power cut may be lost. A local disk has no such limit.",
                    path,
                    error.strerror or error,
                )
        finally:
            os.close(descriptor)


def new_folder(folder: Path, above: Path) -> None:
    """Make a folder below another one and force its entries in the folders between to the disk."""
    if not folder.exists():
        folder.mkdir(parents=True, exist_ok=True)
        to_disk(parent for parent in folder.parents if parent.is_relative_to(above))


def drop_empty(folder: Path, above: Path) -> None:
    """Remove a folder and those between it and the one above, as far as they are empty."""
    while folder != above and folder.is_relative_to(above):
        try:
            folder.rmdir()
        except FileNotFoundError:
            pass  # it was never made, but one around it may have been
        except OSError:
            return
        folder = folder.parent


def sync(folder: Path, version: int) -> None:
    """Force the log entry of a commit to a table to the disk; its data files are there already."""
    log = folder / "_delta_log" / f"{version:020d}.json"
    # a new table is an entry in the store's root
    new = (folder, folder.parent, folder.parent.parent) if version == 0 else ()
    to_disk((log, log.parent, *new))
