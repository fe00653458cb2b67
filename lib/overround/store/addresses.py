"""The addresses under which delta-rs opens the tables of a folder, and the folders behind them.

delta-rs 1.6 takes a folder for a URL: it decodes `%20` in a name, and `[`, `^`, `|` or a backslash end the
call (no issue upstream found). Such a table is opened under a plain folder that links to the real one; data
files are written and read in the real one.
"""

import hashlib
import os
import re
import tempfile
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote

from overround.errors import StoreError

LOG = "_delta_log"
# what delta-rs leaves as it is, or quotes and unquotes once
_PLAIN = re.compile(r"[\w ./~=,+@#'-]*")
_real_folders: dict[Path, Path] = {}


def address(folder: Path) -> str:
    """What delta-rs is told to open for a table's folder.

    Raises
    ------
    StoreError
        The folder needs a link, and there is no temporary folder for it.
    """
    real = Path(os.path.realpath(folder))
    if _PLAIN.fullmatch(str(real)):
        return str(real)
    alias = _aliases(real) / hashlib.sha256(os.fsencode(real)).hexdigest()[:16]
    # each time: a long run may outlive what it has put into a temporary folder
    alias.mkdir(parents=True, exist_ok=True)
    (real / LOG).mkdir(parents=True, exist_ok=True)
    _link(alias, real, LOG)
    _real_folders[alias] = real
    return str(alias)


def show_files(folder: Path) -> None:
    """Let delta-rs see the data files, which it looks for in a vacuum and a repair."""
    alias = Path(address(folder))
    if alias in _real_folders:
        for link in alias.iterdir():
            if not link.exists():
                link.unlink(missing_ok=True)
        for path in _real_folders[alias].iterdir():
            _link(alias, _real_folders[alias], path.name)


def real_folder(uri: str) -> Path | None:
    """The folder of an open table by delta-rs's address of it, None where it is on an object store."""
    if uri.startswith("file://"):
        uri = unquote(uri.removeprefix("file://"))
    elif "://" in uri:
        return None
    return _real_folders.get(Path(uri), Path(uri))


def _link(alias: Path, real: Path, name: str) -> None:
    with suppress(FileExistsError):
        (alias / name).symlink_to(real / name)


def _aliases(real: Path) -> Path:
    """The folder of this user's links; no other user can put one there."""
    above = next(
        (folder for folder in (tempfile.gettempdir(), "/tmp", "/var/tmp") if _is_plain(folder)),  # noqa: S108
        None,
    )
    folder = Path(os.path.realpath(above or "")) / f"overround-{os.getuid()}"
    try:
        if above is None:
            raise PermissionError("there is no temporary folder with a plain name")
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        if found.st_uid != os.getuid() or not folder.is_dir() or folder.is_symlink() or found.st_mode & 0o022:
            raise PermissionError("another user can write to it")
    except OSError as error:
        raise StoreError(
            f"store {str(real.parent)!r}: a folder with such letters in its name needs links in {folder} "
            f"({error}); set TMPDIR to a folder of yours with a plain name, or rename the store's."
        ) from None
    return folder


def _is_plain(folder: str) -> bool:
    return os.access(folder, os.W_OK) and _PLAIN.fullmatch(os.path.realpath(folder)) is not None
