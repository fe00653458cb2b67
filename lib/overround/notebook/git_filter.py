"""Notebooks in git: stored without what running them left, and shown as plain text in a diff.

`python -m overround.notebook.git_filter strip < in > out` and `... text FILE` are what git calls; `...
install` tells the clone in the working folder to do so. Only the standard library is loaded: git calls this
for every notebook.
"""

import json
import subprocess
import sys
from pathlib import Path

NAME = "notebook"  # of the filter and the diff driver in .gitattributes
# what an editor writes about itself or the last run
_OF_THE_RUN = ("widgets", "papermill", "signature", "execution", "ExecuteTime", "toc-autonumbering")
_OF_A_CELL = (
    "execution",
    "papermill",
    "ExecuteTime",
    "collapsed",
    "scrolled",
    "trusted",
    "vscode",
    "jp-MarkdownHeadingCollapsed",
)


def strip(text: str) -> str:
    """A notebook without outputs, counts and what editors note about a run, written as ours are; no notebook comes back as it is."""
    notebook = _read(text)
    if notebook is None:
        return text
    for cell in notebook["cells"]:
        if cell.get("cell_type") == "code":
            cell |= {"execution_count": None, "outputs": []}
        cell["metadata"] = {
            name: value for name, value in cell.get("metadata", {}).items() if name not in _OF_A_CELL
        }
        source = cell.get("source", [])
        cell["source"] = source.splitlines(keepends=True) if isinstance(source, str) else source
    metadata = {
        name: value for name, value in notebook.get("metadata", {}).items() if name not in _OF_THE_RUN
    }
    if "language_info" in metadata:  # the rest is that of whoever ran it last
        metadata["language_info"] = {"name": metadata["language_info"].get("name", "python")}
    if "kernelspec" in metadata and metadata["kernelspec"].get("language") == "python":
        metadata["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return json.dumps({**notebook, "metadata": metadata}, indent=1, ensure_ascii=False) + "\n"


def as_text(text: str) -> str:
    """A notebook's cells one below the other, as code with comments: what a reviewer reads; no notebook comes back as it is."""
    notebook = _read(text)
    if notebook is None:
        return text
    blocks = []
    for cell in notebook["cells"]:
        source, kind = "".join(cell.get("source", [])), cell.get("cell_type", "raw")
        tags = cell.get("metadata", {}).get("tags", [])
        mark = "# %%" + ("" if kind == "code" else f" [{kind}]") + (f" tags={','.join(tags)}" if tags else "")
        blocks.append(f"{mark}\n{source if kind == 'code' else _commented(source)}\n")
    return "\n".join(blocks)


def install(folder: Path) -> str:
    """Have the clone in a folder use both; returns what was done, in a sentence. Where it is no clone, nothing is."""
    try:
        top = _git(folder, "rev-parse", "--show-toplevel").strip()
        if Path(top).resolve() != folder.resolve():  # a copy inside somebody else's clone
            return f"{folder} is no git clone of its own: notebooks are not filtered."
        here = f"'{sys.executable}' -m overround.notebook.git_filter"
        wanted = {f"filter.{NAME}.clean": f"{here} strip", f"diff.{NAME}.textconv": f"{here} text"}
        for key, value in wanted.items():
            _git(folder, "config", "--local", key, value)
    except (OSError, subprocess.CalledProcessError) as error:
        why = str(getattr(error, "stderr", "") or error).strip().splitlines()
        return f"{folder} is no git clone that can be configured ({why[0] if why else 'git failed'}): notebooks are not filtered."
    return "git stores notebooks without outputs and shows them as text."


def _read(text: str) -> dict | None:
    try:
        notebook = json.loads(text)
    except ValueError:  # a conflict, say: nothing of it may be lost
        return None
    known = (
        isinstance(notebook, dict)
        and notebook.get("nbformat") == 4
        and isinstance(notebook.get("cells"), list)
    )
    return notebook if known and all(isinstance(cell, dict) for cell in notebook["cells"]) else None


def _commented(source: str) -> str:
    return "\n".join(f"# {line}".rstrip() for line in source.splitlines())


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
