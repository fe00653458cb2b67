"""Names of runs, revision of the program, and versions of the libraries that a result depends on."""

import hashlib
import secrets
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from overround.settings import PACKAGE


def new_pipeline() -> str:
    """A new name for a pipeline: its start (UTC), and three random characters against collisions."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)[:3]}"


def git_revision(home: Path) -> str:
    """Revision of the checkout, with a plus if files differ from it; empty outside a checkout."""
    return git(home, "describe", "--always", "--abbrev=12", "--dirty=+", "--exclude=*") or ""


def git(folder: Path, *words: str) -> str | None:
    """Output of git in a folder; None where it fails."""
    try:
        done = subprocess.run(  # noqa: S603
            ["git", *words],  # noqa: S607
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def versions() -> dict[str, str]:
    """Versions of Python, Overround and the libraries that a result depends on."""
    return {"python": sys.version.split()[0]} | {
        name: version(name)
        for name in ("overround", "pandas", "numpy", "scipy", "numba", "pyarrow", "duckdb")
    }


def library_digest() -> str:
    """Digest of the library's files, whether under version control or not."""
    digest = hashlib.blake2b(digest_size=16)
    for path in sorted(PACKAGE.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:  # compiled code of Python and numba
            digest.update(f"{path.relative_to(PACKAGE)}\0{path.stat().st_size}\0".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()
