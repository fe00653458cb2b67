"""Parameters of a notebook, read from its cell tagged `parameters` without running it, and checked values.

A parameter is one assignment of a literal, with its annotation and a trailing comment::

    source: str = "sample"         # one of: sample, football-data, the-odds-api
    leagues: list[str] = []        # e.g. ["E0"]; empty: all in the store
    min_edge: float = 0.02         # least edge of a bet; 0 to 1
    bankroll: float = 1_000        # at least 1
    start: str = ""                # ISO date
    reference: str | None = None   # bookmaker whose price is the truth

Types are str, int, float, bool, list[...] of these, Literal[...], and `X | None`. The comment is the help
text, and what it says about values holds (for a list, for each element; the default itself is always
allowed):

* `one of: a, b, c` up to a semicolon: the choices;
* `<number> to <number>`: the lowest and the highest value; `at least <number>`: the lowest (numbers only);
* `ISO date`: a day or a time as in 2025-08-01 (text only).
"""

import ast
import io
import json
import re
import tokenize
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from overround.errors import ParameterError
from overround.runs.parameter_values import KINDS, Parameter, checked, plain
from overround.settings import load_settings

TAG = "parameters"
# first line of the cell in which papermill injects parameters
INJECTED = "# Parameters"

_NUMBER = r"[-+]?\d[\d_]*(?:\.\d+)?(?:[eE][-+]?\d+)?"
_RANGE = re.compile(rf"(?<![\w.])({_NUMBER}) to ({_NUMBER})(?![\w])")
_LEAST = re.compile(rf"\bat least ({_NUMBER})(?![\w])")
_CHOICES = re.compile(r"\bone of:\s*([^;]+)")


def read_parameters(path: Path | str) -> dict[str, Parameter]:
    """Parameters that a notebook declares, by name, in their order.

    Parameters
    ----------
    path : Path or str
        The notebook.

    Raises
    ------
    ParameterError
        Saying what is wrong with the notebook: it is missing, is no notebook, has no or two cells tagged
        `parameters`, or that cell does more than assign literals.
    """
    path = Path(path)
    source = _tagged_cell(path)
    try:
        tree, comments = ast.parse(source), _comments(source)
    except SyntaxError as error:
        raise _broken(
            path, f"line {error.lineno} of its cell tagged {TAG!r} is no Python: {error.msg}"
        ) from None
    except (
        ValueError,
        RecursionError,
        MemoryError,
        tokenize.TokenError,
    ) as error:  # a null byte, brackets without end
        raise _broken(
            path, f"its cell tagged {TAG!r} is no Python that can be read ({type(error).__name__})"
        ) from None
    found: dict[str, Parameter] = {}
    for statement in tree.body:
        parameter = _declared(path, statement, comments)
        if parameter is None:
            continue
        if parameter.name in found:
            raise _broken(path, f"parameter {parameter.name!r} is assigned twice")
        found[parameter.name] = parameter
    return found


def check_parameters(
    path: Path | str, given: Mapping[str, Any], declared: Mapping[str, Parameter] | None = None
) -> dict[str, Any]:
    """Values as the notebook will get them, checked before anything runs.

    Parameters
    ----------
    path : Path or str
        The notebook.
    given : mapping
        Values by name. NumPy numbers and arrays, dates, paths, tuples become plain numbers, texts and lists.
    declared : mapping, optional
        The notebook's parameters, where they have been read already.

    Returns
    -------
    dict
        The same names with plain Python values.

    Raises
    ------
    ParameterError
        For an unknown name, a wrong type, a value out of range or not among the choices; one sentence that
        names the notebook, the parameter and what is allowed.
    """
    declared = read_parameters(path) if declared is None else declared
    for name in given:
        if name not in declared:
            raise _unknown(Path(path), name, list(declared))
    return {name: _checked_in(Path(path), declared[name], value) for name, value in given.items()}


def check_here(notebook: Path | str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Check a notebook's parameters from within, in the first cell after them.

    Plain papermill checks nothing before it starts; with this its run stops in that cell, with the same
    sentence as `overround run`. Names that papermill injected although the notebook does not declare them are
    found in the notebook's own history of inputs (`In`).

    Parameters
    ----------
    notebook : Path or str
        Name of a notebook under `notebooks/`, or a path.
    values : mapping
        The notebook's `globals()`.

    Returns
    -------
    dict
        The parameters as plain Python values.

    Raises
    ------
    ParameterError
        As `check_parameters`; also where a declared name does not exist any more.

    Examples
    --------
    >>> import overround as ov
    >>> ov.runs.check_here("explore", {"source": "sample", "leagues": "E0"})  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    overround.errors.ParameterError: notebook 'explore': parameter 'leagues' cannot be 'E0'; it takes ...
    """
    path = notebook_path(notebook, load_settings().home)
    declared = read_parameters(path)
    for name in _injected_names(values.get("In") or []):
        if name not in declared:
            raise _unknown(path, name, list(declared))
    for name, parameter in declared.items():
        if name not in values:
            raise ParameterError(
                f"{_title(path)}: parameter {name!r} is not defined; run the cell tagged {TAG!r} first."
            )
        _checked_in(path, parameter, values[name])
    return {name: plain(values[name]) for name in declared}


def notebook_path(notebook: Path | str, home: Path) -> Path:
    """The path of a notebook: `backtest` is `notebooks/backtest.ipynb` under `home`; paths are kept."""
    if isinstance(notebook, str) and not notebook.endswith(".ipynb"):
        return home / "notebooks" / f"{notebook}.ipynb"
    return Path(notebook)


def _tagged_cell(path: Path) -> str:
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        tagged = [
            "".join(cell["source"])
            for cell in cells
            if TAG in cell.get("metadata", {}).get("tags", []) and cell["cell_type"] == "code"
        ]
    except FileNotFoundError:
        raise _broken(path, f"there is no file {path}") from None
    except OSError as error:
        raise _broken(path, f"{path} cannot be read ({error.strerror})") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise _broken(path, f"the file {path} is no Jupyter notebook (format 4)") from None
    if len(tagged) != 1:
        found = f"{len(tagged)} code cells are" if tagged else "no code cell is"
        raise _broken(path, f"{found} tagged {TAG!r}, one is needed")
    return tagged[0]


def _comments(source: str) -> dict[int, str]:
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {
        token.start[0]: token.string.lstrip("#").strip() for token in tokens if token.type == tokenize.COMMENT
    }


def _declared(path: Path, statement: ast.stmt, comments: Mapping[int, str]) -> Parameter | None:
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
        return None  # a docstring does nothing
    target: ast.expr | None = statement.target if isinstance(statement, ast.AnnAssign) else None
    if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
        target = statement.targets[0]
    if (
        not isinstance(target, ast.Name)
        or not isinstance(statement, ast.Assign | ast.AnnAssign)
        or statement.value is None
    ):
        raise _broken(
            path, f"line {statement.lineno} of its cell tagged {TAG!r} is no assignment `name: type = value`"
        )
    name = target.id
    try:
        default = ast.literal_eval(statement.value)
    except (ValueError, TypeError, RecursionError, MemoryError):
        # papermill sets names after this cell has run: what was derived here would keep its default
        raise _broken(path, f"parameter {name!r} is computed; a default has to be a plain value") from None
    annotation, choices = _annotation(path, name, statement, default)
    comment = comments.get(statement.end_lineno or statement.lineno, "")
    try:
        parameter = _from_comment(Parameter(name, annotation, default, comment, choices))
    except ValueError:
        raise _broken(
            path, f"parameter {name!r} is {annotation}, but the choices in its comment are not"
        ) from None
    try:
        checked(parameter, default)
    except ParameterError:
        raise _broken(path, f"parameter {name!r}: its default {default!r} is not {annotation}") from None
    return parameter


def _annotation(
    path: Path, name: str, statement: ast.Assign | ast.AnnAssign, default: Any
) -> tuple[str, tuple]:
    if isinstance(statement, ast.AnnAssign):
        text = ast.unparse(statement.annotation)
    elif isinstance(default, list):
        text = f"list[{type((default or [''])[0]).__name__}]"
    else:
        text = type(default).__name__
    if literal := re.fullmatch(r"Literal\[(.+?)\]( \| None)?", text):
        with suppress(ValueError, SyntaxError, TypeError):
            choices = ast.literal_eval(f"({literal[1]},)")
            if type(choices[0]).__name__ in KINDS and len({type(choice) for choice in choices}) == 1:
                return type(choices[0]).__name__ + (literal[2] or ""), choices
    parts = [part.strip() for part in text.split("|")]
    values = [part for part in parts if part != "None"]
    if len(values) != 1 or not re.fullmatch(rf"({'|'.join(KINDS)})|list\[({'|'.join(KINDS)})\]", values[0]):
        raise _broken(
            path,
            f"parameter {name!r} is of type {text}; "
            "a parameter is str, int, float, bool, a list of these, or one | None",
        )
    return text, ()


def _from_comment(parameter: Parameter) -> Parameter:
    choices, low, high = parameter.choices, None, None
    numeric = parameter.kind in (int, float)
    if not choices and (listed := _CHOICES.search(parameter.help)):
        words = [word.strip().strip("\"'") for word in listed[1].split(",")]
        choices = tuple(parameter.kind(word) if numeric else word for word in words)
    elif numeric and (span := _RANGE.search(parameter.help)):
        low, high = float(span[1]), float(span[2])
    elif numeric and (least := _LEAST.search(parameter.help)):
        low = float(least[1])
    return replace(
        parameter,
        choices=choices,
        low=low,
        high=high,
        iso_date=parameter.kind is str and "ISO date" in parameter.help,
    )


def _checked_in(path: Path, parameter: Parameter, value: Any) -> Any:
    try:
        return checked(parameter, value)
    except ParameterError as error:
        raise ParameterError(f"{_title(path)}: {error}") from None


def _injected_names(inputs: list[str]) -> list[str]:
    names: list[str] = []
    for source in inputs:
        if not source.startswith(f"{INJECTED}\n"):
            continue
        with suppress(SyntaxError):  # a reader's own cell that begins like papermill's
            assigned = [
                statement.targets[0]
                for statement in ast.parse(source).body
                if isinstance(statement, ast.Assign)
            ]
            names += [target.id for target in assigned if isinstance(target, ast.Name)]
    return names


def _unknown(path: Path, name: str, declared: list[str]) -> ParameterError:
    near = get_close_matches(name, declared, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return ParameterError(
        f"{_title(path)} has no parameter {name!r}; it takes {', '.join(declared) or 'none'}.{hint}"
    )


def _title(path: Path) -> str:
    return f"notebook {path.stem!r}"


def _broken(path: Path, what: str) -> ParameterError:
    return ParameterError(f"{_title(path)} cannot be used: {what}.")
