"""Write settings into the `.env` that `overround.settings` reads; every other line keeps its text."""

import re
from collections.abc import Mapping
from pathlib import Path

from dotenv import dotenv_values, set_key

from overround.errors import SettingsError
from overround.settings import settings_file


def save(values: Mapping[str, float | str]) -> Path:
    """Set values in the project's `.env`; a new file is readable by its owner only.

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
        Where the file cannot be read or written.
    """
    file = settings_file().resolve()
    try:
        text = file.read_text(encoding="utf-8") if file.is_file() else ""
        there = dotenv_values(file, interpolate=False) if text else {}
        for name, value in values.items():
            variable = f"OVERROUND_{name.upper()}"
            # the settings read letters of any case, set_key only its own
            for key in [key for key in there if key.upper() == variable] or [variable]:
                exported = re.search(rf"^\s*export\s+{key}\s*=", text, re.MULTILINE) is not None
                written = f"{value:g}" if isinstance(value, float) else str(value)
                set_key(file, key, written, quote_mode="never", export=exported, follow_symlinks=True)
    except UnicodeDecodeError:
        raise SettingsError(
            f"{file} cannot be read (UnicodeDecodeError); a text file in UTF-8 is expected."
        ) from None
    except OSError as error:
        raise SettingsError(f"{file} cannot be written ({error.strerror}).") from None
    return file
