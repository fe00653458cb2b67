"""Whose prices a report's bets were compared with, when, why, and how many matches were without them."""

import numpy as np
import pandas as pd

from overround.display.elements import Html
from overround.display.tables import table
from overround.prices.periods import Reference, reference_at, reference_runs, referenced_matches
from overround.prices.references import CONSENSUS, REFERENCES
from overround.times import microseconds

# fewer matches without prices at the end are a gap, not a farewell
_LEFT = 5


def reference_table(reference: Reference, quotes: pd.DataFrame, bets: pd.DataFrame) -> Html:
    """The reference of each period, what was known of it, and the matches and bets that had to do without.

    Parameters
    ----------
    reference : str or DataFrame
        As in `value_signals`. A fixed one has no table, only the sentence.
    quotes : DataFrame
        The table `quotes`, with `starts_at`.
    bets : DataFrame
        Signals, or a ledger.

    Examples
    --------
    >>> import overround as ov
    >>> _, quotes, results = ov.example()
    >>> periods = ov.forecasts.reference_periods(quotes, results, every="W-MON")
    >>> shown = ov.display.reference_table(periods, quotes, ov.value_signals(quotes, periods))
    >>> print(str(shown).splitlines()[1].split()[:7])
    ['27', 'Jul', '2015', '9', 'Aug', '2015', 'consensus']
    """
    says = reference_note(reference, quotes, bets)
    if isinstance(reference, str):
        says = says or f"Every match has a price of {reference}."
        return table(pd.DataFrame(), empty=says)
    runs = reference_runs(reference)
    begins = microseconds(runs["from"])
    # months need no day
    months = bool(reference.index.is_month_start.all())
    first = [_day(at, months) for at in runs["from"]]
    last = [_day(at - pd.Timedelta(days=1), months) for at in runs["to"].dropna()]
    shown = pd.DataFrame(
        {
            "from": first,
            "to": [*last, "the end"][: len(runs)],
            "reference": runs["reference"],
            "why": runs.get("why", "given"),
            "matches": _counted(quotes.drop_duplicates("event_id")["starts_at"], begins),
            "bets": _counted(bets["placed_at"], begins),
        }
    )
    if "log_loss" in runs:
        shown = shown.assign(
            **{
                "matches before": runs["matches"].where(runs["matches"] > 0),
                "log loss": runs["log_loss"],
                "margin": runs["overround"] - 1,
                "coverage": runs["coverage"],
            }
        )
    as_of = "Matches before, log loss, margin and coverage are what was known when it was chosen."
    shown.attrs["says"] = f"{as_of} {says or 'Every match has a price of its reference.'}"
    formats = {
        "matches before": "count",
        "log loss": "score",
        "margin": "short percent",
        "coverage": "short percent",
    }
    return table(shown, formats)


def reference_counts(reference: Reference, quotes: pd.DataFrame, bets: pd.DataFrame) -> dict[str, int]:
    """Matches without a price of their reference, those on which nobody stood in, and bets by a stand-in.

    Examples
    --------
    >>> import overround as ov
    >>> ov.display.reference_counts("sharp", ov.example().quotes, ov.datasets.example_signals())
    {'matches_without_reference': 0, 'matches_without_any_reference': 0, 'bets_without_reference': 0}
    """
    return _counts(referenced_matches(quotes, reference), reference, bets)


def _counts(found: pd.DataFrame, reference: Reference, bets: pd.DataFrame) -> dict[str, int]:
    stand_ins = 0
    if not isinstance(reference, str) and len(bets):
        chosen = reference_at(reference, microseconds(bets["placed_at"]))
        stand_ins = int(((bets["reference"] == CONSENSUS) & (chosen != CONSENSUS)).sum())
    return {
        "matches_without_reference": int((~found["priced"]).sum()),
        "matches_without_any_reference": int((found["whose"] == "").sum()),
        "bets_without_reference": stand_ins,
    }


def reference_note(reference: Reference, quotes: pd.DataFrame, bets: pd.DataFrame) -> str:
    """How many matches and bets are without a price of their reference, in a sentence; empty if none is.

    Examples
    --------
    >>> import overround as ov
    >>> _, quotes, _ = ov.example()
    >>> gone = quotes[(quotes["bookmaker"] != "sharp") | (quotes["starts_at"] < "2015-08-20")]
    >>> print(ov.display.reference_note("sharp", gone, ov.value_signals(gone, "sharp")))
    sharp shows no prices from August 2015 on: 70 of 100 matches, without a bet.
    """
    found = referenced_matches(quotes, reference)
    counts = _counts(found, reference, bets)
    without, nobody = counts["matches_without_reference"], counts["matches_without_any_reference"]
    total = f"{len(found):,} matches"
    if not without:
        return ""
    if not isinstance(reference, str):
        stood_in = f"on {without - nobody:,} the mean of at least three others stands in"
        stood_in += f" ({counts['bets_without_reference']:,} bets)"
        parts = [stood_in] if without > nobody else []
        parts += [f"{nobody:,} without any, and without a bet"] if nobody else []
        return f"{without:,} of {total} have no price of their period's reference: {'; '.join(parts)}."
    priced = np.flatnonzero(found["priced"])
    after = found.iloc[priced[-1] + 1 :] if len(priced) else found
    if len(after) < _LEFT:
        what = "are too few bookmakers" if reference in REFERENCES else f"is no price of {reference}"
        return f"On {without:,} of {total} there {what}, and no bet."
    earlier = f", nor on {without - len(after):,} earlier ones" if without > len(after) else ""
    since = f"{after['starts_at'].iloc[0]:%B %Y}"
    return f"{reference} shows no prices from {since} on: {len(after):,} of {total}, without a bet{earlier}."


def _day(at: pd.Timestamp, month: bool) -> str:
    return (f"{at:%b %Y}" if month else f"{at.day} {at:%b %Y}").replace(" ", "\N{NO-BREAK SPACE}")


def _counted(times: pd.Series, begins: np.ndarray) -> np.ndarray:
    """How many of these times are in each run of periods."""
    run = np.searchsorted(begins, microseconds(times), side="right") - 1
    return np.bincount(np.maximum(run, 0), minlength=len(begins))
