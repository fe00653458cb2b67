"""A parameter of a notebook: what it takes, in words, and the check of typed texts and Python values."""

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from pathlib import PurePath
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError

from overround.errors import ParameterError

KINDS = {"str": str, "int": int, "float": float, "bool": bool}
_NAMES = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}
_PLURALS = {str: "texts", int: "whole numbers", float: "numbers", bool: "true or false values"}
_LONGEST_SHOWN = 200


@dataclass(frozen=True)
class Parameter:
    """One parameter of a notebook, as its cell declares it."""

    name: str
    annotation: str
    default: Any
    help: str = ""
    choices: tuple = ()
    low: float | None = None
    high: float | None = None
    iso_date: bool = False

    @property
    def kind(self) -> type:
        """Type of the value, or of a list's elements."""
        return KINDS.get(self._value.removeprefix("list[").removesuffix("]").strip(), str)

    @property
    def is_list(self) -> bool:
        """Whether it takes a list."""
        return self._value.startswith("list")

    @property
    def nullable(self) -> bool:
        """Whether it takes None."""
        return "None" in (part.strip() for part in self.annotation.split("|"))

    @property
    def allowed(self) -> str:
        """What it takes, in words."""
        words = f"a list of {_PLURALS[self.kind]}" if self.is_list else _NAMES[self.kind]
        if self.choices:
            words = f"{'a list of' if self.is_list else 'one of'} {', '.join(map(str, self.choices))}"
        elif self.iso_date:
            words = f"{'a list of ISO dates' if self.is_list else 'an ISO date'} such as 2025-08-01"
        elif self.low is not None and self.high is not None:
            words += f" from {self.low:.10g} to {self.high:.10g}"
        elif self.low is not None:
            words += f" of at least {self.low:.10g}"
        return words + (" or none" if self.nullable else "")

    @property
    def _value(self) -> str:
        return next(part.strip() for part in self.annotation.split("|") if part.strip() != "None")


def parse_value(parameter: Parameter, text: str) -> Any:
    """The checked value of a text that was typed on a command line.

    Lists are `E0,E1` or `["E0", "E1"]`; nothing is an empty list; `none` is None where None is allowed.

    Raises
    ------
    ParameterError
        Where the text is no such value.
    """
    word = text.strip()
    if parameter.nullable and word.lower() in ("none", "null"):
        return None
    given: str | list[str] = text if parameter.kind is str else word
    if parameter.is_list:
        given = [part.strip() for part in word.split(",") if part.strip()]
    try:
        is_literal = parameter.is_list and word.startswith("[")
        value = ast.literal_eval(word) if is_literal else _type(parameter).validate_python(given)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        raise _refused(parameter, text) from None
    return checked(parameter, value)


def plain(value: Any) -> Any:
    """The value as plain Python, for papermill and JSON: from NumPy, pandas, dates, paths, decimals, sets."""
    # NumPy's scalars first: np.float64 is a float, yet papermill would write it as text
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, Decimal):
        return float("nan") if value.is_snan() else float(value)
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, set | frozenset):
        return sorted(plain(item) for item in value)
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def checked(parameter: Parameter, value: Any) -> Any:
    """The value as plain Python; ParameterError, with what is allowed, if the parameter does not take it."""
    value = plain(value)
    if value is None and parameter.nullable:
        return None
    try:
        found = _type(parameter).validate_python(value, strict=True)
    except ValidationError:
        raise _refused(parameter, value) from None
    if value != parameter.default and not all(
        _allowed(item, parameter) for item in (found if parameter.is_list else [found])
    ):
        raise _refused(parameter, value)
    return found


def _type(parameter: Parameter) -> TypeAdapter:
    return _adapter(parameter.kind, parameter.is_list)


@cache
def _adapter(kind: type, is_list: bool) -> TypeAdapter:
    """What pydantic takes as such a value, neither NaN nor infinite; strictly, a bool is no number."""
    return TypeAdapter(list[kind] if is_list else kind, config=ConfigDict(allow_inf_nan=False))  # type: ignore[valid-type]


def _allowed(item: Any, parameter: Parameter) -> bool:
    if parameter.choices:
        return item in parameter.choices
    too_low = parameter.low is not None and item < parameter.low
    too_high = parameter.high is not None and item > parameter.high
    return not too_low and not too_high and (not parameter.iso_date or _is_date(item))


def _is_date(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def _refused(parameter: Parameter, value: Any) -> ParameterError:
    return ParameterError(
        f"parameter {parameter.name!r} cannot be {_shown(value)}; it takes {parameter.allowed}."
    )


def _shown(value: Any) -> str:
    try:
        text = repr(value)
    # a number of more digits than Python writes, a list in itself
    except (ValueError, RecursionError) as error:
        return f"this {type(value).__name__} ({type(error).__name__})"
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}... ({len(text):,} characters)"
