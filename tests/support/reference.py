"""The pages of `docs/reference`: every public name of a package, its signature and first line.

`make reference` writes them.
"""

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import overround as ov
from tests.support.commands import ROOT

FOLDER = ROOT / "docs" / "reference"
_WIDTH = 100


def packages() -> dict[str, ModuleType]:
    """The packages (and modules) that `ov` shows, by name."""
    public = {name: getattr(ov, name) for name in sorted(ov.__all__)}
    return {name: found for name, found in public.items() if isinstance(found, ModuleType)}


def flat() -> dict[str, Any]:
    """The functions and classes on `ov` itself, by name."""
    return {name: getattr(ov, name) for name in sorted(set(ov.__all__) - set(packages()))}


def public_names(package: ModuleType) -> dict[str, Any]:
    """Public names of a package, or those that a module itself defines, by name."""
    names = package.__dir__() if hasattr(package, "__path__") else _defined_in(package)
    return {name: getattr(package, name) for name in sorted(names)}


def first_line(where: ModuleType, name: str) -> str:
    """The first line of what is said of a name: its docstring, or the comment above a constant."""
    found = getattr(where, name)
    if isinstance(found, ModuleType) or callable(found):
        return (inspect.getdoc(found) or "").partition("\n")[0]
    return _comment_above(where, name)


def pages() -> dict[str, str]:
    """File name -> text of every page."""
    return {"README.md": _overview()} | {
        f"{name}.md": _page(name, package) for name, package in packages().items()
    }


def write() -> None:
    """Write every page, and remove those of packages that are gone."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    wanted = pages()
    for file in FOLDER.glob("*.md"):
        if file.name not in wanted:
            file.unlink()
    for name, text in wanted.items():
        (FOLDER / name).write_text(text, encoding="utf-8")


def _overview() -> str:
    rows = [
        f"| [`ov.{name}`]({name}.md) | {_cell(_about(package))} |" for name, package in packages().items()
    ]
    everyday = [_entry(ov, name, f"ov.{name}") for name in flat()]
    return "\n".join(
        [
            "# Reference",
            "",
            "Written by `make reference` from the docstrings. `help(ov.backtest)` shows a whole one, with an example.",
            "",
            "| package | |",
            "| --- | --- |",
            *rows,
            "",
            "## On `ov` itself",
            "",
            *everyday,
        ]
    )


def _page(name: str, package: ModuleType) -> str:
    entries = [_entry(package, public, f"ov.{name}.{public}") for public in public_names(package)]
    return "\n".join([f"# `ov.{name}`", "", _about(package), "", *entries])


def _entry(where: ModuleType, name: str, shown: str) -> str:
    found, line = getattr(where, name), first_line(where, name)
    if isinstance(found, ModuleType):
        inside = ", ".join(f"`{one}`" for one in public_names(found))
        return f"### `{shown}`\n\nModule. {line}\n\nIn it: {inside}.\n"
    if not callable(found):
        kind = type(found).__name__
        values = ", ".join(f"`{one}`" for one in found)
        return f"### `{shown}`\n\nA {kind}. {line}\n\n{values}\n"
    return f"### `{shown}`\n\n```python\n{_signature(found, name)}\n```\n\n{line}\n"


def _signature(found: Any, name: str) -> str:
    """The call as the source has it, one parameter a line where it is long."""
    node = ast.parse(inspect.getsource(inspect.unwrap(found)).strip()).body[0]
    if isinstance(node, ast.ClassDef):
        begin, parts, end = f"class {name}(", _fields_of(node), ")"
    else:
        assert isinstance(node, ast.FunctionDef)
        returned = ast.unparse(node.returns) if node.returns else "Any"
        begin, parts, end = f"{name}(", list(_parameters(node.args)), f") -> {returned}"
    short = begin + ", ".join(parts) + end
    return short if len(short) <= _WIDTH else begin + "".join(f"\n    {one}," for one in parts) + "\n" + end


def _fields_of(node: ast.ClassDef) -> list[str]:
    """What a class is called with: the parameters of its `__init__`, or else the fields of a dataclass."""
    for one in node.body:
        if isinstance(one, ast.FunctionDef) and one.name == "__init__":
            return list(_parameters(one.args))[1:]
    return [
        ast.unparse(one)
        for one in node.body
        if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name) and one.target.id[0] != "_"
    ]


def _parameters(arguments: ast.arguments) -> Iterator[str]:
    """Each parameter with its type and default, in order, and the star before those that are named."""
    positional = [*arguments.posonlyargs, *arguments.args]
    defaults = [None] * (len(positional) - len(arguments.defaults)) + list(arguments.defaults)
    for one, default in zip(positional, defaults, strict=True):
        yield _parameter(one, default)
    if arguments.vararg:
        yield f"*{ast.unparse(arguments.vararg)}"
    elif arguments.kwonlyargs:
        yield "*"
    for one, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        yield _parameter(one, default)
    if arguments.kwarg:
        yield f"**{ast.unparse(arguments.kwarg)}"


def _parameter(one: ast.arg, default: ast.expr | None) -> str:
    return ast.unparse(one) + (f" = {ast.unparse(default)}" if default is not None else "")


def _about(package: ModuleType) -> str:
    return (inspect.getdoc(package) or "").partition("\n")[0]


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _defined_in(module: ModuleType) -> list[str]:
    return [
        name
        for name, found in vars(module).items()
        if not name.startswith("_") and getattr(found, "__module__", None) == module.__name__
    ]


def _comment_above(package: ModuleType, name: str) -> str:
    """The comment above the assignment of a constant, in whichever module of its package that is."""
    assignment = re.compile(rf"((?:^# .*\n)+)^{name}\b.* = ", re.MULTILINE)
    for file in sorted(Path(next(iter(package.__path__))).rglob("*.py")):
        if found := assignment.search(file.read_text()):
            said = " ".join(line.removeprefix("# ") for line in found[1].splitlines())
            return said[0].upper() + said[1:].rstrip(".") + "."
    return ""


if __name__ == "__main__":
    write()
