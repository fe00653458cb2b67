"""What a day brought, held against the day and the week before: market, collection, signals, machine.

Only computes, on what `overround.reports.daily_data` read. A day here is the time that ends at `until`, of
`hours`; the days before it are the same hours of the seven days before.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from overround.betting.engine import backtest
from overround.betting.staking import Flat
from overround.collection.poll_times import GAP, gaps, observations, regularity
from overround.display.elements import Html
from overround.display.tables import headline, table
from overround.formatting import FORMATS, percent
from overround.grouping import SELECTION
from overround.prices.closing import closing_lines
from overround.prices.fair import fair_probabilities
from overround.prices.references import lowest_margin
from overround.reports.daily_data import DAYS, ONE_DAY, Recent, recent
from overround.signals.value import value_signals

__all__ = [
    "ONE_DAY",
    "Recent",
    "against",
    "days",
    "digest_headline",
    "digest_table",
    "digest_verdict",
    "looked",
    "moves",
    "open_gaps",
    "recent",
    "signal_table",
    "value_bets",
]

_LEAST_DAYS = 4  # that make up what is usual

# figure -> how it is written; what is a count has no missing days
_KINDS = {
    "prices": "count",
    "matches": "count",
    "new matches": "count",
    "bookmakers": "count",
    "competitions": "count",
    "price changes": "count",
    "median change": "percent",
    "median overround": "percent",
    "matches played": "count",
    "results": "count",
    "looks": "count",
    "time covered": "percent",
    "signals": "count",
    "mean edge": "percent",
    "bets settled": "count",
    "profit per unit": "signed percent",
    "closing-line value": "signed percent",
    "calls": "count",
    "failed calls": "count",
    "answered by the cache": "percent",
    "median latency, ms": "figures",
    "processor time, s": "figures",
    "highest memory, MB": "figures",
    "failed runs": "count",
}
FIGURES = tuple(_KINDS)
MARKET, COLLECTION, SIGNALS, MACHINE = FIGURES[:10], FIGURES[10:12], FIGURES[12:17], FIGURES[17:]


def value_bets(
    recent: Recent, reference: str = "", *, method: str = "power", min_edge: float = 0.02
) -> pd.DataFrame:
    """Every value bet of the last days, a unit each, settled where the result is known.

    Parameters
    ----------
    recent : Recent
        What `recent` read.
    reference : str
        As in `value_signals`; where it has no prices here, the bookmaker with the lowest margin.
    method, min_edge
        As in `value_signals`.

    Returns
    -------
    DataFrame
        Signals, with profit, settled_at and clv, all empty where a bet is open.
    """
    quotes = recent.quotes
    columns = ["profit", "settled_at", "clv"]
    if quotes.empty:
        reference = reference or "none"
        signals = value_signals(quotes, reference)
        return signals.assign(profit=np.nan, settled_at=signals["placed_at"], clv=np.nan)
    if reference not in set(quotes["bookmaker"]):
        reference = lowest_margin(quotes)
    signals = value_signals(quotes, reference, method, min_edge)
    closing = closing_lines(quotes, reference, method)
    # a bank that cannot run out: each bet is a unit
    ledger = backtest(signals, recent.results, stake=Flat(1), bankroll=1e9, closing=closing)
    ledger = ledger[ledger["settled_at"] <= recent.until]
    return signals.merge(ledger[[*SELECTION, *columns]], on=list(SELECTION), how="left")


def days(recent: Recent, bets: pd.DataFrame) -> pd.DataFrame:
    """Figures of the last day and of the seven before it.

    Parameters
    ----------
    recent : Recent
        What `recent` read.
    bets : DataFrame
        What `value_bets` returned.

    Returns
    -------
    DataFrame
        A row for each of `FIGURES`, columns 0 (the last day) to 7 (a week earlier). NaN for days before the
        first price (or call or measurement), and for a mean or a share of nothing.
    """
    quotes, until, hours = recent.quotes, recent.until, recent.hours
    rows = {**_market(recent), **_collection(recent)}
    placed, settled = _day(bets["placed_at"], until, hours), _day(bets["settled_at"], until, hours)
    rows |= {
        "signals": _per_day(placed),
        "mean edge": bets["edge"].groupby(placed).mean(),
        "bets settled": _per_day(settled),
        "profit per unit": bets["profit"].groupby(settled).mean(),
        "closing-line value": bets["clv"].groupby(settled).mean(),
    }
    known = _known(quotes["collected_at"], until)
    found = {name: _filled(values, name, known) for name, values in rows.items()}
    machine = _machine(recent)
    return pd.DataFrame({**found, **machine}).T.reindex(FIGURES).rename_axis("figure")


def against(found: pd.DataFrame) -> pd.DataFrame:
    """The last day against the day before, the same day a week before, and what is usual.

    Parameters
    ----------
    found : DataFrame
        What `days` returned.

    Returns
    -------
    DataFrame
        Index figure; columns now, day_before, week_before, usual (median of the seven days), least, most (of
        these), unusual: now is further from usual, and from the same day a week before (matches have their
        weekdays), than three times the seven days' spread (MAD x 1.4826, at least a tenth of usual, and for
        counts the root of usual). Nothing is with fewer than four known days.
    """
    before = found.loc[:, 1:]
    usual = before.median(axis=1)
    spread = 1.4826 * before.sub(usual, axis=0).abs().median(axis=1)
    counted = np.array([_KINDS[str(name)] == "count" for name in found.index])
    floor = np.maximum(0.1 * usual.abs(), np.where(counted, np.sqrt(usual.abs().clip(lower=1)), 0.0))
    enough = before.notna().sum(axis=1) >= _LEAST_DAYS
    far = 3 * np.maximum(spread, floor)
    unusual = enough & ((found[0] - usual).abs() > far) & ~((found[0] - found[7]).abs() <= far)
    columns = {
        "now": found[0],
        "day_before": found[1],
        "week_before": found[7],
        "usual": usual,
        "least": before.min(axis=1),
        "most": before.max(axis=1),
        "unusual": unusual.fillna(False),
    }
    return pd.DataFrame(columns)


def digest_headline(compared: pd.DataFrame, missed: pd.DataFrame) -> Html:
    """The strip of figures of the last day, each with the day before and a week before."""

    def beside(name: str) -> tuple[str, str]:
        now, before, earlier = (
            _written(name, compared.loc[name, column]) for column in ("now", "day_before", "week_before")
        )
        return now, f"{before} the day before, {earlier} a week before"

    longest = FORMATS["hours"](missed["hours"].iloc[0]) if len(missed) else "none"
    settled = compared.loc["bets settled", "now"]
    earned = percent(compared.loc["profit per unit", "now"], sign=True)
    return headline(
        ("Prices", *beside("prices")),
        ("Matches", *beside("matches")),
        ("Longest gap", longest, str(missed["competition"].iloc[0]) if len(missed) else "on the last day"),
        ("Signals", *beside("signals")),
        ("Profit per unit", earned, f"of {settled:,.0f} settled bets" if settled else "no bet was settled"),
        (
            "Unusual",
            f"{int(compared['unusual'].sum())}",
            f"of {len(compared)} figures, against the week before",
        ),
    )


def digest_table(compared: pd.DataFrame, figures: Sequence[str] | None = None) -> Html:
    """Rows of `against` as a table, each in its own unit; what is unusual says so."""
    rows = []
    for name, row in compared.loc[list(figures or compared.index)].iterrows():
        text = {
            column: _written(str(name), row[column])
            for column in ("now", "day_before", "week_before", "usual", "least", "most")
        }
        span = "–" if pd.isna(row["least"]) else f"{text['least']} to {text['most']}"
        low_or_high = (
            ("▼ unusually low" if row["now"] < row["usual"] else "▲ unusually high") if row["unusual"] else ""
        )
        rows.append(
            {
                "figure": name,
                "last day": text["now"],
                "day before": text["day_before"],
                "a week before": text["week_before"],
                "range of seven days": span,
                "note": low_or_high,
            }
        )
    shown = pd.DataFrame(rows)
    shown = shown if (shown["note"] != "").any() else shown.drop(columns="note")
    return table(
        shown, dict.fromkeys(("last day", "day before", "a week before", "range of seven days"), "text")
    )


def signal_table(recent: Recent, bets: pd.DataFrame, most: int = 20) -> Html:
    """Bets that were placed or settled on the last day, newest first, with the profit of a unit where they are settled."""
    mine = bets[(bets["placed_at"] > recent.begin) | (bets["settled_at"] > recent.begin)]
    names = recent.quotes.drop_duplicates("event_id").set_index("event_id")
    match = mine["event_id"].map(names["home"] + " – " + names["away"])
    rows = pd.DataFrame(
        {
            "match": match,
            "outcome": mine["outcome"].astype("str") + mine["line"].map(_line).astype("str"),
            **mine[["bookmaker", "price", "edge", "profit", "clv", "placed_at"]],
        }
    )
    rows = rows.sort_values("placed_at", ascending=False, kind="stable")
    return table(
        rows, {"profit": "{:+.2f}".format}, most=most, empty="No bet was placed or settled on the last day."
    )


def digest_verdict(recent: Recent, compared: pd.DataFrame, missed: pd.DataFrame) -> str:
    """Say what the last day brought, in a sentence or two.

    Parameters
    ----------
    recent : Recent
        What `recent` read.
    compared : DataFrame
        What `against` returned.
    missed : DataFrame
        What `open_gaps` returned.
    """
    when = f"{recent.hours:g} hours to {recent.until:%Y-%m-%d %H:%M} UTC"
    if recent.quotes.empty:
        return (
            f"Nothing to tell of the {when}: the store has no price of this source from the nine days before."
        )
    now = compared["now"]
    if recent.today.empty:
        last = recent.quotes["collected_at"].max()
        silent = (recent.until - last).total_seconds() / 3600
        return f"Nothing came in during the {when}: the last price was collected {silent:,.0f} hours before, at {last:%Y-%m-%d %H:%M} UTC."
    came = (
        f"{now['prices']:,.0f} prices of {now['matches']:,.0f} matches at {now['bookmakers']:,.0f} bookmakers"
    )
    before = compared.loc["prices", ["day_before", "week_before"]]
    words = [
        f"{amount:,.0f} {name}"
        for amount, name in zip(before, ("the day before", "a week before"), strict=True)
        if pd.notna(amount)
    ]
    hole = (
        f"longest gap {FORMATS['hours'](missed['hours'].iloc[0])} at {missed['competition'].iloc[0]}"
        if len(missed)
        else "no gap"
    )
    made, settled = now["signals"], now["bets settled"]
    earned = (
        f", {settled:,.0f} settled at {percent(now['profit per unit'], sign=True)} a unit"
        if settled
        else ", none settled"
    )
    odd = [str(name) for name in compared.index[compared["unusual"]]]
    strange = (
        f"Unusual against the week before: {', '.join(odd)}."
        if odd
        else "Nothing is unusual against the week before."
    )
    return f"The {when} brought {came} ({'; '.join(words) or 'the first day'}); {hole}; {made:,.0f} new signals{earned}. {strange}"


def open_gaps(recent: Recent) -> pd.DataFrame:
    """Gaps in the collection that touch the last day, among them one that is still open: competition, begin, end, hours (all of it)."""
    found = _gaps(looked(recent), recent.until)
    return found[(found["end"] > recent.begin) & (found["begin"] < recent.until)].reset_index(drop=True)


def looked(recent: Recent) -> pd.DataFrame:
    """Times at which each competition was looked at in these eight days, as `overround.collection.poll_times.observations` gives them."""
    found = observations(recent.quotes, recent.requests)
    return found[found["at"] > recent.until - DAYS * ONE_DAY].reset_index(drop=True)


def moves(recent: Recent, most: int = 12) -> pd.DataFrame:
    """Selections whose price before kick-off moved most on the last day, over all bookmakers that quote them.

    Returns
    -------
    DataFrame
        match, outcome (with the line), books, begin and end (medians over bookmakers of the price that stood
        when the day began, or the first of the day, and of the last one), move (begin / end - 1: the relative
        change of the probability); the largest first.
    """
    rows = recent.quotes
    rows = rows[~(rows["collected_at"] >= rows["starts_at"]) & (rows["starts_at"] > recent.begin)]
    rows = rows.sort_values("collected_at", kind="stable")
    keys = [*SELECTION, "bookmaker"]
    stood = rows[rows["collected_at"] <= recent.begin].groupby(keys, dropna=False)["price"].last()
    today = (
        rows[rows["collected_at"] > recent.begin].groupby(keys, dropna=False)["price"].agg(["first", "last"])
    )
    pair = today.assign(begin=stood.reindex(today.index).fillna(today["first"]), end=today["last"])
    found = pair.groupby(list(SELECTION), dropna=False).agg(
        books=("end", "size"), begin=("begin", "median"), end=("end", "median")
    )
    found = found.assign(move=found["begin"] / found["end"] - 1)
    found = (
        found[found["move"] != 0]
        .sort_values("move", key=lambda move: -move.abs(), kind="stable")
        .head(most)
        .reset_index()
    )
    names = rows.drop_duplicates("event_id").set_index("event_id")
    match = found["event_id"].map(names["home"] + " – " + names["away"])
    outcome = found["outcome"].astype("str") + found["line"].map(_line).astype("str")
    return pd.DataFrame({"match": match, "outcome": outcome, **found[["books", "begin", "end", "move"]]})


def _market(recent: Recent) -> dict[str, pd.Series]:
    quotes, until, hours = recent.quotes, recent.until, recent.hours
    at = _day(quotes["collected_at"], until, hours)
    seen = quotes.groupby("event_id")["collected_at"].min()
    keys = [quotes[name] for name in (*SELECTION, "bookmaker", "phase")]
    before = quotes["price"].groupby(keys, dropna=False).shift()
    ahead = ~(quotes["collected_at"] >= quotes["starts_at"])
    change = (before / quotes["price"] - 1)[ahead & before.notna() & (before != quotes["price"])]
    books = (
        fair_probabilities(quotes[quotes["market"] == "h2h"], "multiplicative")
        if len(quotes)
        else quotes.assign(overround=np.nan)
    )
    kick_off = quotes.drop_duplicates("event_id")["starts_at"]
    ended = recent.results["settled_at"].fillna(recent.results["starts_at"] + pd.Timedelta(hours=2))
    return {
        "prices": _per_day(at),
        **{
            name: quotes[column].groupby(at).nunique()
            for name, column in (
                ("matches", "event_id"),
                ("bookmakers", "bookmaker"),
                ("competitions", "competition"),
            )
        },
        "new matches": _per_day(_day(seen, until, hours)),
        "price changes": _per_day(at[change.index]),
        "median change": change.abs().groupby(at).median(),
        "median overround": (books["overround"] - 1)
        .groupby(_day(books["collected_at"], until, hours))
        .median(),
        "matches played": _per_day(_day(kick_off, until, hours)),
        "results": _per_day(_day(ended, until, hours)),
    }


def _collection(recent: Recent) -> dict[str, pd.Series]:
    looks = looked(recent)
    found = _gaps(looks, recent.until)
    ends = recent.until - np.arange(DAYS) * ONE_DAY
    begins = ends - pd.Timedelta(hours=recent.hours)
    covered = []
    for begin, end in zip(begins, ends, strict=True):
        # a competition counts from its first look on
        watched = (
            (end - looks.groupby("competition")["at"].min().clip(lower=begin))
            .clip(lower=pd.Timedelta(0))
            .sum()
        )
        unseen = (
            (found["end"].clip(upper=end) - found["begin"].clip(lower=begin))
            .clip(lower=pd.Timedelta(0))
            .sum()
        )
        covered.append(1 - unseen / watched if watched else np.nan)
    return {
        "looks": _per_day(_day(looks["at"], recent.until, recent.hours)),
        "time covered": pd.Series(covered),
    }


def _machine(recent: Recent) -> dict[str, pd.Series]:
    until, hours = recent.machine_until, recent.hours
    calls, measured, runs = recent.requests, recent.measurements, recent.runs
    at, noted, started = (
        _day(log[column], until, hours)
        for log, column in ((calls, "at"), (measured, "at"), (runs, "started_at"))
    )
    metric = measured["metric"]
    cost = measured["value"].astype(float)
    rows = {
        "calls": (_per_day(at), calls["at"]),
        "failed calls": (_per_day(at[calls["status"] != 200]), calls["at"]),
        "answered by the cache": (calls["from_cache"].astype(float).groupby(at).mean(), calls["at"]),
        "median latency, ms": (
            (1000 * calls["latency_s"])[~calls["from_cache"].astype(bool)].groupby(at).median(),
            calls["at"],
        ),
        "processor time, s": (cost[metric == "cpu_s"].groupby(noted).sum(), measured["at"]),
        "highest memory, MB": (cost[metric == "peak_mb"].groupby(noted).max(), measured["at"]),
        "failed runs": (_per_day(started[runs["status"] != "ok"]), runs["started_at"]),
    }
    return {name: _filled(values, name, _known(log, until)) for name, (values, log) in rows.items()}


def _gaps(looks: pd.DataFrame, until: pd.Timestamp) -> pd.DataFrame:
    """All gaps, and the one that is open at the end where the last look is long ago."""
    if looks.empty:
        return pd.DataFrame(
            {"competition": [], "begin": looks["at"], "end": looks["at"], "hours": pd.Series(dtype=float)}
        )
    found, usual = gaps(looks), regularity(looks)
    silent = (until - usual["last"]).dt.total_seconds() / 3600
    late = usual[silent * 60 > GAP * usual["usual_minutes"].fillna(24 * 60)]
    still = pd.DataFrame(
        {
            "competition": late.index,
            "begin": late["last"].to_numpy(),
            "end": until,
            "hours": silent[late.index].to_numpy(),
        }
    )
    still = still.astype({"begin": looks["at"].dtype, "end": looks["at"].dtype})
    both = pd.concat([one for one in (found, still) if len(one)] or [found])
    return both.sort_values("hours", ascending=False, ignore_index=True)


def _day(times: pd.Series, until: pd.Timestamp, hours: float) -> pd.Series:
    """Number of the day that each time lies in, 0 the last; NaN outside all."""
    ago = (until - times) / pd.Timedelta(hours=1)
    number = np.floor(ago / 24)
    return number.where((ago >= 0) & (ago - 24 * number < hours) & (number < DAYS))


def _per_day(number: pd.Series) -> pd.Series:
    return number.groupby(number).size()


def _known(times: pd.Series, until: pd.Timestamp) -> np.ndarray:
    """Whether each day ends after the first of these times."""
    ends = until - np.arange(DAYS) * ONE_DAY
    return np.asarray(ends > times.min()) if len(times) else np.zeros(DAYS, bool)


def _filled(values: pd.Series, name: str, known: np.ndarray) -> pd.Series:
    """A value a day: none counted is 0, a mean of nothing is unknown, and so is all before the first row."""
    whole = values.reindex(range(DAYS)).astype(float)
    whole = whole.fillna(0.0) if _KINDS[name] == "count" else whole
    return whole.where(known)


def _line(value: float) -> str:
    return "" if pd.isna(value) else f" {value:g}"


def _written(name: str, value: float) -> str:
    return "–" if pd.isna(value) else FORMATS[_KINDS[name]](value)
