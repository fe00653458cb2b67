"""Write settings into the `.env` that `overround.settings` reads: only the lines meant, whole or not at all."""

import os
import re
import tempfile
from collections.abc import Mapping
from io import StringIO
from pathlib import Path

from dotenv import dotenv_values

from overround.errors import SettingsError
from overround.store.fsync import to_disk

FILE = Path(".env")


def save(values: Mapping[str, float | str]) -> Path:
    """Set values in `.env` of the working folder; every other line stays as it is, and so does the file's mode (a new one is 0600).

    Parameters
    ----------
    values : mapping
        Field of `Settings` -> value without line breaks or quotes.

    Returns
    -------
    Path
        The file, or what a link of this name points to.

    Raises
    ------
    SettingsError
        Where the file cannot be read or written, or is written in a way in which a line cannot be set without
        touching others.
    """
    file = FILE.resolve()
    try:
        before = file.read_bytes().decode() if file.exists() else ""
        after = with_values(
            before,
            {
                f"OVERROUND_{name.upper()}": f"{value:g}" if isinstance(value, float) else str(value)
                for name, value in values.items()
            },
        )
        _replace(file, after)
    except UnicodeDecodeError:
        raise SettingsError(
            f"{file} cannot be read (UnicodeDecodeError); a text file in UTF-8 is expected."
        ) from None
    except OSError as error:
        raise SettingsError(f"{file} cannot be written ({error.strerror}).") from None
    return file


def with_values(text: str, values: Mapping[str, str]) -> str:
    """The text of a `.env` in which these variables have these values; SettingsError where others would change with them."""
    lines = text.splitlines(keepends=True)
    for name, value in values.items():
        # as the settings read it: letters of any case, with or without export
        mine = re.compile(rf"(\s*(?:export\s+)?{name}\s*=).*?(\r?\n?)", re.IGNORECASE)
        found = {number: match for number, line in enumerate(lines) if (match := mine.fullmatch(line))}
        for number, match in found.items():
            lines[number] = f"{match[1]}{value}{match[2]}"
        if not found:
            if lines and not lines[-1].endswith("\n"):
                lines[-1] += "\n"
            lines.append(f"{name}={value}\n")
    after = "".join(lines)
    if _read(after) != {**_read(text), **{name.lower(): value for name, value in values.items()}}:
        raise SettingsError(
            f"{FILE.resolve()} cannot be changed line by line; set {', '.join(f'{n}={v}' for n, v in values.items())} by hand."
        )
    return after


def _read(text: str) -> dict[str, str | None]:
    return {
        name.lower(): value for name, value in dotenv_values(stream=StringIO(text), interpolate=False).items()
    }


def _replace(file: Path, text: str) -> None:
    mode = file.stat().st_mode & 0o777 if file.exists() else 0o600
    handle, draft = tempfile.mkstemp(dir=file.parent, prefix=".env-")
    try:
        with os.fdopen(handle, "wb") as out:
            out.write(text.encode())
        Path(draft).chmod(mode)
        to_disk([Path(draft)])
        Path(draft).replace(file)
        to_disk([file.parent])
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise
