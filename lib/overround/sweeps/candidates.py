"""One pass over the quotes for all variants of a sweep: each price that one could bet, and its result."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from overround.betting.engine import backtest
from overround.betting.staking import Flat
from overround.prices.board import Board, boards
from overround.prices.closing import closing_lines
from overround.prices.moves import opening
from overround.prices.periods import Reference
from overround.prices.references import REFERENCES, accounts_of, bookmakers_of, check_reference
from overround.schema import AUTO
from overround.signals.selection import as_signals
from overround.signals.value import standing_value, value_bets
from overround.sweeps.space import SIGNALS

_BOARD = ("method", "at_close", "max_age_h")
GROUP = "group"
_EVERYTHING = 1e12  # money for a unit on each candidate


def groups_of(variants: pd.DataFrame) -> list[dict[str, Any]]:
    """What each pass must find: its parameters of `SIGNALS`, its variants' widest limits and bookmakers."""
    found = []
    for _, mine in variants.groupby(_key(variants), sort=False):
        first = mine.iloc[0]
        books = mine["bookmakers"].tolist()
        found.append(
            {name: first[name] for name in SIGNALS}
            | {
                "min_edge": mine["min_edge"].min(),
                "max_edge": mine["max_edge"].max(),
                "max_price": mine["max_price"].max(),
            }
            | {"bookmakers": tuple(sorted({book for some in books for book in some or ()}))}
            | {"default": None in books}
        )
    return found


def group_numbers(variants: pd.DataFrame) -> np.ndarray:
    """Number of the group, in the order of `groups_of`, that each variant belongs to."""
    return pd.factorize(_key(variants))[0]


def automatic(groups: list[dict[str, Any]], judge: str, judge_method: str) -> list[str]:
    """Methods of margin removal under which references are to be found from the past."""
    asked = [(group["reference"], group["method"]) for group in groups] + [(judge, judge_method)]
    return list(dict.fromkeys(method for reference, method in asked if reference == AUTO))


def candidates(
    frames: Mapping[str, pd.DataFrame],
    groups: list[dict[str, Any]],
    judge: str,
    judge_method: str,
    *,
    strict: bool = True,
    periods: Mapping[str, pd.DataFrame] | None = None,
) -> pd.DataFrame:
    """Ledger of a unit on every price that any variant could bet, with the number of its group.

    A standing price that has changed neither itself nor its edge since the last moment is left out: whoever
    wants it now wanted it then.

    Parameters
    ----------
    frames : mapping
        quotes (as `Store.read` gives them) and results.
    groups : list of dict
        What `groups_of` returned.
    judge, judge_method : str
        As the reference and method of `closing_lines`.
    strict : bool
        Whether a reference or bookmaker without prices is an error; a league may lack what another one has.
    periods : mapping, optional
        Method -> what `reference_periods` returned, for each method of `automatic`.
    """
    quotes, results = frames["quotes"], frames["results"]
    found = periods or {}
    closing = closing_lines(quotes, found[judge_method] if judge == AUTO else judge, judge_method)
    ledgers = []
    for number, signals in _signals(quotes, groups, strict, found):
        ledger = backtest(signals, results, stake=Flat(1.0), bankroll=_EVERYTHING, closing=closing)
        ledgers.append(ledger.assign(**{GROUP: number}))
    return pd.concat(ledgers, ignore_index=True)


def _signals(
    quotes: pd.DataFrame, groups: list[dict[str, Any]], strict: bool, periods: Mapping[str, pd.DataFrame]
) -> Iterator[tuple[int, pd.DataFrame]]:
    names = bookmakers_of(quotes)
    parts: dict[int, list[pd.DataFrame]] = {number: [] for number in range(len(groups))}
    accounts = {
        number: _accounts(group, names, quotes, strict)
        for number, group in enumerate(groups)
        if strict or _has_reference(group, names)
    }
    by_board: dict[tuple, list[int]] = {}
    for number in accounts:
        by_board.setdefault(tuple(groups[number][name] for name in _BOARD), []).append(number)
    for (method, at_close, max_age_h), numbers in by_board.items():
        for board in boards(quotes, method, at_close=bool(at_close), max_age_h=max_age_h):
            for number in numbers:
                name = groups[number]["reference"]
                reference = periods[method] if name == AUTO else name
                parts[number].append(_candidates(board, groups[number], accounts[number], reference))
    for number, some in parts.items():
        yield (
            number,
            as_signals(some, f"value against {groups[number]['reference']} ({groups[number]['method']})"),
        )


def _has_reference(group: Mapping[str, Any], names: list[str]) -> bool:
    return group["reference"] in (*names, *REFERENCES, AUTO)


def _accounts(group: Mapping[str, Any], names: list[str], quotes: pd.DataFrame, strict: bool) -> set[str]:
    if not names:
        return set()
    reference = group["reference"]
    if reference != AUTO:
        check_reference(reference, names, quotes=quotes, at_close=bool(group["at_close"]))
    named = (
        accounts_of(quotes, group["bookmakers"], reference)
        if strict
        else set(group["bookmakers"]) & set(names)
    )
    return named | (accounts_of(quotes, None, reference) if group["default"] else set())


def _candidates(
    board: Board, group: Mapping[str, Any], accounts: set[str], reference: Reference
) -> pd.DataFrame:
    limits = group["min_edge"], group["max_edge"], group["max_price"]
    *value, wanted = standing_value(board, reference, accounts, limits)
    probability, same = value[0], np.zeros(wanted.shape, bool)
    same[:, 1:] = (board.price[:, 1:] == board.price[:, :-1]) & (probability[:, 1:] == probability[:, :-1])
    return value_bets(board, np.nonzero(wanted & (opening(board)[:, None] | ~same)), *value)


def _key(variants: pd.DataFrame) -> pd.Series:
    return pd.Series(
        [repr(row) for row in variants[list(SIGNALS)].itertuples(index=False, name=None)], variants.index
    )


def unknown_references(groups: list[dict[str, Any]], names: set[str]) -> list[str]:
    """References and bookmakers of these groups that have no prices anywhere."""
    wanted = [group["reference"] for group in groups] + [
        book for group in groups for book in group["bookmakers"]
    ]
    return [name for name in dict.fromkeys(wanted) if name not in {*names, *REFERENCES, AUTO}]
