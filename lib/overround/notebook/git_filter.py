"""Notebooks in git: stored without what running them left, and shown as plain text in a diff.

`python -m overround.notebook.git_filter strip < in > out` and `... text FILE` are what git calls; `...
install` tells the clone in the working folder to do so. nbstripout does the stripping; the kernel that a
reader happened to choose, which it would keep, is written as ours here.
"""

import json
import shlex
import subprocess
import sys
from pathlib import Path

NAME = "notebook"  # of the filter and the diff driver in .gitattributes
# what editors note about themselves or the last run
_OF_NOTEBOOK = ("widgets", "papermill", "signature", "execution", "ExecuteTime", "toc-autonumbering")
_OF_CELL = ("execution", "papermill", "ExecuteTime", "collapsed", "scrolled", "trusted", "vscode")
_KEYS = [
    *(f"metadata.{name}" for name in _OF_NOTEBOOK),
    *(f"cell.metadata.{name}" for name in (*_OF_CELL, "jp-MarkdownHeadingCollapsed")),
]


def strip(text: str) -> str:
    """A notebook without outputs, counts and what editors note about a run; any other text as it is."""
    notebook = _read(text)
    if notebook is None:
        return text
    import nbformat
    from nbstripout import strip_output

    stripped = strip_output(
        nbformat.from_dict(notebook), keep_output=False, keep_count=False, keep_id=True, extra_keys=_KEYS
    )
    metadata = stripped.metadata
    if "language_info" in metadata:  # version and the like are of whoever ran it last
        metadata.language_info = {"name": metadata.language_info.get("name", "python")}
    if metadata.get("kernelspec", {}).get("language") == "python":
        metadata.kernelspec = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return nbformat.v4.writes(stripped) + "\n"


def as_text(text: str) -> str:
    """A notebook's cells as code with comments, for reviewers; any other text as it is."""
    notebook = _read(text)
    if notebook is None:
        return text
    blocks = []
    for cell in notebook["cells"]:
        source, kind = "".join(cell.get("source", [])), cell.get("cell_type", "raw")
        tags = cell.get("metadata", {}).get("tags", [])
        mark = "# %%" + ("" if kind == "code" else f" [{kind}]") + (f" tags={','.join(tags)}" if tags else "")
        if kind != "code":
            source = "\n".join(f"# {line}".rstrip() for line in source.splitlines())
        blocks.append(f"{mark}\n{source}\n")
    return "\n".join(blocks)


def install(folder: Path) -> str:
    """Make the clone in a folder use both and say so; outside a clone, do nothing and say why."""
    try:
        top = _git(folder, "rev-parse", "--show-toplevel").strip()
        if Path(top).resolve() != folder.resolve():  # a copy inside somebody else's clone
            return f"{folder} is no git clone of its own: notebooks are not filtered."
        here = f"{shlex.quote(sys.executable)} -m overround.notebook.git_filter"  # git hands it to a shell
        _git(folder, "config", "--local", f"filter.{NAME}.clean", f"{here} strip")
        _git(folder, "config", "--local", f"diff.{NAME}.textconv", f"{here} text")
    except (OSError, subprocess.CalledProcessError) as error:
        why = (str(getattr(error, "stderr", "") or error).strip().splitlines() or ["git failed"])[0]
        return f"{folder} is no git clone that can be configured ({why}): notebooks are not filtered."
    return "git stores notebooks without outputs and shows them as text."


def _read(text: str) -> dict | None:
    try:
        notebook = json.loads(text)
    except ValueError:  # e.g. an unresolved conflict: nothing of it may be lost
        return None
    known = isinstance(notebook, dict) and notebook.get("nbformat") == 4
    cells = notebook.get("cells") if known else None
    return notebook if isinstance(cells, list) and all(isinstance(cell, dict) for cell in cells) else None


def _git(folder: Path, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=True).stdout  # noqa: S603, S607


def main(words: list[str]) -> str:
    """What to write to standard output for `strip`, `text FILE` or `install`."""
    match words:
        case ["strip"]:
            return strip(sys.stdin.buffer.read().decode("utf-8", "surrogateescape"))
        case ["text", file]:
            return as_text(Path(file).read_bytes().decode("utf-8", "surrogateescape"))
        case ["install"]:
            return install(Path.cwd()) + "\n"
    sys.exit("python -m overround.notebook.git_filter strip | text FILE | install")


if __name__ == "__main__":
    sys.stdout.buffer.write(main(sys.argv[1:]).encode("utf-8", "surrogateescape"))
