"""Names of runs, revision of the program, versions of what a result depends on."""

import hashlib
import secrets
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from overround.settings import PACKAGE


def new_pipeline() -> str:
    """Return a new name for a pipeline: when it started (UTC) and three characters against a tie."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)[:3]}"


def git_revision(home: Path) -> str:
    """Revision of the checkout, with a plus where files differ from it; empty outside a checkout."""
    try:
        say = subprocess.run(
            ["git", "describe", "--always", "--abbrev=12", "--dirty=+", "--exclude=*"],  # noqa: S607  the user's git
            cwd=home,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return say.stdout.strip()


def versions() -> dict[str, str]:
    """Versions that a result depends on."""
    return {"python": sys.version.split()[0]} | {
        name: version(name)
        for name in ("overround", "pandas", "numpy", "scipy", "numba", "pyarrow", "duckdb")
    }


def library_digest() -> str:
    """Digest of the library's files: other where any of them is, in or outside version control."""
    digest = hashlib.blake2b(digest_size=16)
    for path in sorted(PACKAGE.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:  # compiled by Python and by numba
            digest.update(f"{path.relative_to(PACKAGE)}\0{path.stat().st_size}\0".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()
