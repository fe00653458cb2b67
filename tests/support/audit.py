"""Whether a pinned version has a known hole, or was taken back by its makers: `make audit`, that is `python
-m tests.support.audit`.

Asks the package index and the OSV database through `uv audit`, for every platform and every version of Python
that the lock is for. Exit status 1 where something was found, 2 where no advisories could be had: then
nothing is known, and that is what it says.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

LOCK = Path(__file__).parents[2] / "requirements.lock"
PIN = re.compile(r"[A-Za-z0-9._-]+(\[[^\]]+\])?==[^\s;,*<>=]+( ; .+)?")


@dataclass(frozen=True)
class Audit:
    """What is known of so many pins; `unknown` is why no advisories could be had, if so."""

    pins: int
    yanked: tuple[str, ...] = ()
    holes: tuple[str, ...] = ()
    unknown: str = ""

    @property
    def status(self) -> int:
        """Exit status."""
        return 1 if self.yanked or self.holes else 2 if self.unknown else 0


def main() -> None:
    """Print what is found."""
    found = audit(pins(LOCK.read_text()))
    for one in (*found.yanked, *found.holes):
        print(one)
    if found.unknown:
        print(
            f"NOT AUDITED: of the {found.pins} pins of {LOCK.name} {found.unknown} Whether they have known holes is not known."
        )
    else:
        print(
            f"{found.pins} pins of {LOCK.name}: {len(found.holes)} known holes, {len(found.yanked)} taken back by their makers"
        )
    sys.exit(found.status)


def pins(text: str) -> list[str]:
    """Lines of a lock; each names one package at one exact version."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    loose = [line for line in lines if not PIN.fullmatch(line)]
    if loose:
        raise SystemExit(f"{LOCK.name} pins no exact version in {loose[0]!r}; make it anew with `make lock`.")
    return lines


def audit(lines: list[str], *, service: str = "") -> Audit:
    """Ask for these pins; another service than OSV's own speaks the same words."""
    import uv

    dependencies = "".join(f"  {json.dumps(line)},\n" for line in lines)
    command = [uv.find_uv_bin(), "audit", "--output-format", "json", "--preview-features", "audit-command"]
    with tempfile.TemporaryDirectory() as folder:
        project = f'[project]\nname = "pins"\nversion = "0"\nrequires-python = ">=3.11"\ndependencies = [\n{dependencies}]\n'
        (Path(folder) / "pyproject.toml").write_text(project)
        done = subprocess.run(
            [*command, *(["--service-url", service] if service else [])],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=900,
            env={**os.environ, "UV_PYTHON": sys.executable, "NO_COLOR": "1"},
        )
        resolved = (Path(folder) / "uv.lock").exists()
    yanked = tuple(re.findall(r"warning: (`[^`]+` is yanked.*)", done.stderr))
    if done.returncode not in (0, 1):
        asked = (
            f"the index has taken back {len(yanked) or 'none'}, but the advisory database"
            if resolved
            else "the package index"
        )
        why = [
            line.split(":", 1)[1].strip()
            for line in done.stderr.splitlines()
            if re.match(r"\s*(cause|error|×|╰─▶).*:", line)
        ]
        return Audit(
            len(lines),
            yanked,
            unknown=f"{asked} could not be asked ({why[-1] if why else done.stderr.strip()[-200:]}).",
        )
    holes = [
        f"{one['dependency']['name']} {one['dependency']['version']}: {one['id']} {one['summary'] or ''}".rstrip()
        + f"; mended in {', '.join(one['fix_versions']) or 'no version yet'}"
        for one in json.loads(done.stdout)["vulnerabilities"]
    ]
    return Audit(len(lines), yanked, tuple(holes))


if __name__ == "__main__":
    main()
