"""Variants of a strategy that a sweep tries: every point of a grid, or points drawn from a space."""

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from overround.betting.staking import Staking, named_rule, staking_rule
from overround.errors import ParameterError
from overround.schema import AUTO

# parameters that need a pass over the quotes for each value; those that only choose among the bets of a pass;
# those of the stakes
SIGNALS = {"reference": AUTO, "method": "power", "at_close": False, "max_age_h": 24.0}
CHOICES = {
    "min_edge": 0.02,
    "max_edge": 0.25,
    "max_price": 15.0,
    "bookmakers": None,
    "competition": None,
    "season": None,
}
STAKES = {"staking": "flat", "stake": None, "cap": 0.05, "drawdown": 0.2}
SETS = ("bookmakers", "competition", "season")
HOW = ("latin", "random")
Space = Mapping[str, Any]
_RANGE = re.compile(r"(?P<low>[^./][^/]*?)\.\.(?P<high>[^/]+)(?:/(?P<steps>\d+))?")
_WORDS = {"true": True, "false": False, "none": None, "all": None}


def variants(
    space: Space,
    sample: int | None = None,
    *,
    how: str = "latin",
    seed: int = 7,
    limits: Iterable[str] | None = None,
) -> pd.DataFrame:
    """The variants of a space.

    Parameters
    ----------
    space : mapping
        Parameter -> a list of values, one value, or, for a sample, a range as a tuple (low, high) or (low,
        high, "log"). The parameters are those of `value_signals` (reference, method, at_close, max_age_h,
        min_edge, max_edge, max_price, bookmakers); competition and season; and staking, stake, cap and
        drawdown as `staking_rule` reads them. One value of bookmakers, competition or season is a name, a
        tuple of names, or None for all of them. The reference "auto", the default, is found from the past, a
        period at a time (`reference_periods`). A staking may carry its stake, "kelly:0.25", or be a rule; a
        stake of None is the rule's usual one.
    sample : int, optional
        Number of variants drawn from the space; by default all of its points.
    how : str
        "latin": a Latin hypercube, in which each parameter takes each part of its range equally often (McKay,
        Beckman and Conover 1979, Technometrics 21, 239-245); "random": independently.
    seed : int
        Of the sample.
    limits : iterable of str, optional
        For a given ledger, instead of the parameters of `value_signals`: min_ and max_ of these columns.

    Returns
    -------
    DataFrame
        Index variant (0, 1, ...), a column per parameter, without duplicates. `attrs["varied"]`: names of the
        parameters with several values.

    Raises
    ------
    ParameterError
        An unknown parameter, an empty list, a range in a grid, a sample that is not positive.

    Examples
    --------
    >>> import overround as ov
    >>> len(ov.sweeps.variants({"min_edge": [0.01, 0.02], "staking": ["flat", "kelly:0.25"]}))
    4
    """
    known = _known(limits)
    for name in space:
        if name not in known:
            raise ParameterError(f"parameter {name!r} cannot be swept; those that can: {', '.join(known)}.")
    listed = {name: _listed(name, space.get(name, default)) for name, default in known.items()}
    if sample is None:
        points = product(*(_no_range(name, values) for name, values in listed.items()))
        rows = [dict(zip(listed, point, strict=True)) for point in points]
    else:
        rows = _drawn(listed, sample, how, seed)
    once = {tuple(map(repr, row.values())): row for row in rows}
    # pandas must not turn a None into a number, or a tuple into several rows
    frame = pd.DataFrame(
        {name: pd.Series([row[name] for row in once.values()], dtype=object) for name in listed}
    )
    frame = frame.astype(
        {name: float for name in frame if name not in SETS and _numbers(frame[name])}
    ).rename_axis("variant")
    frame.attrs["varied"] = [name for name in listed if len({repr(value) for value in frame[name]}) > 1]
    return frame


def space_of(given: list[str]) -> dict[str, Any]:
    """The space of a sweep from the command line, one text per parameter.

    min_edge=0.01,0.02 are values, min_edge=0..0.1/11 eleven from 0 to 0.1, min_edge=0..0.1 a range for a
    sample; bookmakers=all,bet365+bwin are two values, the second of them two names.

    Examples
    --------
    >>> import overround as ov
    >>> ov.sweeps.space_of(["min_edge=0.01..0.03/3", "staking=flat,kelly"])
    {'min_edge': [0.01, 0.02, 0.03], 'staking': ['flat', 'kelly']}
    """
    space: dict[str, Any] = {}
    for text in given:
        name, equals, values = text.partition("=")
        if not equals or not name.isidentifier() or not values:
            raise ParameterError(
                f"--vary {text!r} cannot be read; write name=values, e.g. min_edge=0..0.1/11."
            )
        if name in space:
            raise ParameterError(
                f"--vary {name} is given twice; write all its values in one, e.g. {name}=0.01,0.02."
            )
        space[name] = _typed_values(text, values)
    return space


def _typed_values(text: str, values: str) -> Any:
    between = _RANGE.fullmatch(values)
    if between is None:
        return [_word(one) for one in values.split(",")]
    try:
        low, high, steps = float(between["low"]), float(between["high"]), int(between["steps"] or 0)
    except ValueError:
        raise ParameterError(
            f"--vary {text!r} cannot be read; a range is between numbers, e.g. 0..0.1/11."
        ) from None
    if not between["steps"]:
        return low, high
    if steps < 2:
        raise ParameterError(f"--vary {text!r} cannot be read; a range has at least 2 steps.")
    # 0..0.1/11 has 0.07, not the sum of seven hundredths
    return [round(low + (high - low) * step / (steps - 1), 12) for step in range(steps)]


def _word(word: str) -> Any:
    if word.lower() in _WORDS:
        return _WORDS[word.lower()]
    if "+" in word:
        return tuple(word.split("+"))
    try:
        # 2425 is a season: no parameter is a whole number above a thousand
        return word if re.fullmatch(r"\d{4,}", word) else float(word)
    except ValueError:
        return word


def rule_of(variant: Mapping[str, Any], bankroll: float) -> Staking:
    """The staking rule of a variant."""
    kind, stake = variant["staking"], variant["stake"]
    if not isinstance(kind, str):
        return kind
    kind, colon, own = kind.partition(":")
    if colon:
        try:
            stake = float(own)
        except ValueError:
            raise ParameterError(
                f"staking {variant['staking']!r} cannot be read; write it as kelly or kelly:0.25."
            ) from None
    if stake is None or stake != stake:
        usual = named_rule(kind).usual
        stake = bankroll / 100 if usual is None else usual
    return staking_rule(kind, float(stake), float(variant["cap"]), float(variant["drawdown"]))


def label(variant: Mapping[str, Any], varied: Sequence[str]) -> str:
    """A variant in words: its varied parameters."""
    return (
        ", ".join(f"{name.replace('_', ' ')} {spelled(variant[name])}" for name in varied)
        or "the only variant"
    )


def spelled(value: Any) -> str:
    """A value of a parameter as a table shows it."""
    if value is None:
        return "all"
    if isinstance(value, tuple):
        return " + ".join(map(str, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _known(limits: Iterable[str] | None) -> dict[str, Any]:
    if limits is None:
        return SIGNALS | CHOICES | STAKES
    free = {
        f"{end}_{column}": bound for column in limits for end, bound in (("min", -np.inf), ("max", np.inf))
    }
    return free | {name: CHOICES[name] for name in SETS} | STAKES


def _listed(name: str, values: Any) -> list | tuple:
    """The values of a parameter, or its range, all in the type of the parameter."""
    if isinstance(values, tuple) and name not in SETS:
        return _range(name, values)
    if isinstance(values, list | np.ndarray | pd.Series | range):
        values = list(values)
        if not values:
            raise ParameterError(f"{name} has no value; give at least one.")
    else:
        values = [values]
    return [_value(name, value) for value in values]


def _value(name: str, value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if name in SETS:
        # one name or several; a list would be several values
        return (value,) if isinstance(value, str) else None if value is None else tuple(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    return value


def _range(name: str, values: tuple) -> tuple[float, float, bool]:
    low, high, *scale = values if len(values) > 1 else (None, None)
    numbers = isinstance(low, int | float) and isinstance(high, int | float)
    if not numbers or not low < high or scale not in ([], ["log"]) or (scale and low <= 0):
        raise ParameterError(
            f"{name} is {values!r}; a range is (low, high), or (low, high, 'log') above 0, "
            "with low below high."
        )
    return float(low), float(high), bool(scale)


def _no_range(name: str, values: list | tuple) -> list:
    if isinstance(values, tuple):
        raise ParameterError(
            f"{name} is a range, from which only a sample can be drawn: give a list of values, or sample."
        )
    return values


def _drawn(listed: Mapping[str, list | tuple], sample: int, how: str, seed: int) -> list[dict[str, Any]]:
    if sample < 1:
        raise ParameterError(f"sample is {sample}; it is a number of variants, at least 1.")
    if how not in HOW:
        raise ParameterError(f"how {how!r} is unknown; there are {', '.join(HOW)}.")
    rng = np.random.default_rng(seed)
    columns = {}
    for name, values in listed.items():
        if isinstance(values, list) and len(values) == 1:
            # what does not vary takes no random number: the sample stays when a fixed parameter is added
            columns[name] = values * sample
            continue
        place = (
            (rng.permutation(sample) + rng.random(sample)) / sample if how == "latin" else rng.random(sample)
        )
        if isinstance(values, list):
            columns[name] = [values[int(at * len(values))] for at in place]
            continue
        low, high, logarithmic = values
        points = low * (high / low) ** place if logarithmic else low + (high - low) * place
        columns[name] = points.tolist()
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _numbers(column: pd.Series) -> bool:
    return all(isinstance(value, float) for value in column)
