"""Open prices on disk: read those that stand from the store, and keep there until when each was seen."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pandas as pd

from overround.schema import TABLES
from overround.sources.the_odds_api.open_prices import OpenPrices, Price, Sighting
from overround.sources.the_odds_api.parser import EVENT, RESULT, SOURCE, Rows
from overround.sources.the_odds_api.values import times
from overround.store.store import Store
from overround.times import HOUR_US

_SELECTION = TABLES["standing"].key
_COLUMNS = tuple(TABLES["standing"].columns)
_SOON_US = 3 * HOUR_US
FORGET_S = 3.5 * 86_400  # after kick-off: by then the scores have not named an event for half a day


def load_prices(
    store: Store, competitions: Iterable[str], *, since_s: float, as_of_s: float | None = None
) -> OpenPrices:
    """Read these competitions' events from `since_s` (seconds since 1970) on, and their prices.

    With `as_of_s`, the prices that stood then: whoever collects history goes on from there.
    """
    chosen = {"competition": list(competitions)}
    since = pd.Timestamp(since_s, unit="s", tz="UTC")
    found = OpenPrices()
    renamed = store.read("aliases", {"kind": "bookmaker", "source": SOURCE})
    found.bookmakers = dict(zip(renamed["name"], renamed["means"], strict=True))
    events = store.read("events", chosen)
    # the seasons of all events, also older ones: an event's season never changes
    found.seasons = dict(zip(events["event_id"], events["season"], strict=True))
    events = events[events["starts_at"] >= since]
    found.events = {event[0]: event for event in _rows(events, EVENT)}
    results = store.read("results", chosen)
    results = results[results["event_id"].isin(found.events)]
    found.settled = {name: tuple(result) for name, *result in _rows(results, RESULT)}
    adopt_prices(found, store, as_of_s)
    _add_standing(found, store.read("standing", chosen), as_of_s)
    return found


def adopt_prices(found: OpenPrices, store: Store, as_of_s: float | None = None) -> None:
    """Take over the latest stored price of each selection, where it is newer than that in memory."""
    chosen: dict[str, Any] = {
        name: sorted({event[n] for event in found.events.values()})
        for n, name in ((0, "event_id"), (1, "competition"), (2, "season"))
    }
    columns = (*_SELECTION, "observed_at", "price", "collected_at")
    rows = store.read("quotes", {**chosen, "phase": "snapshot"}, columns)
    if as_of_s is not None:
        rows = rows[rows["collected_at"] <= pd.Timestamp(as_of_s, unit="s", tz="UTC")]
    rows = rows.sort_values(["collected_at", "observed_at"], kind="stable")
    rows = rows.drop_duplicates(list(_SELECTION), keep="last")
    for *selection, observed_at, price, collected_at in _rows(rows, columns):
        name = tuple(selection)
        prices = found.prices.setdefault(name[0], {})
        old = prices.get(name)
        if old is None or observed_at > old.observed_at:
            scope = old.scope if old else found.scopes.get((found.events[name[0]][1], name[1]), "")
            # a withdrawal is no sighting
            seen = 0 if price is None else max(observed_at, collected_at)
            last_seen_at = max(seen, old.last_seen_at if old else 0)
            withdrawn_at = collected_at if price is None else 0
            prices[name] = Price(price, observed_at, last_seen_at, scope, withdrawn_at=withdrawn_at)


def flush_prices(found: OpenPrices, store: Store) -> None:
    """Append the prices seen since the last time to the table `standing`."""
    rows = [
        (*selection, one.price, one.observed_at, one.last_seen_at, one.scope, *found.events[name][1:3])
        for name, prices in found.prices.items()
        if name in found.events
        for selection, one in prices.items()
        if not one.is_flushed
    ]
    if rows:
        frame = pd.DataFrame(rows, columns=list(_COLUMNS))
        for name in ("observed_at", "last_seen_at"):
            frame[name] = times(frame[name])
        store.append("standing", frame)
    for prices in found.prices.values():
        for price in prices.values():
            price.is_flushed = True
    found.has_new_scopes = False


def flush_asked(found: OpenPrices, store: Store) -> None:
    """Keep when the last answer was for events that begin soon, as nobody may ask again before they do."""
    soon = {
        name: (*found.events[name][:-1], found.last_asked(name))
        for name, at in found.asked.items()
        if found.events[name][3] - at <= _SOON_US
    }
    if soon:
        competitions = {name: event[1] for name, event in soon.items()}
        rows = Rows(SOURCE, seasons=found.seasons, competitions=competitions, events=soon)
        store.append("events", with_last_asked(store, rows.batch().events))


def with_last_asked(store: Store, events: pd.DataFrame) -> pd.DataFrame:
    """Events with the later one of their last answers and the stored one, which another process may have had.

    An answer before another kick-off than the stored one does not count.
    """
    names = {name: events[name].unique().tolist() for name in ("event_id", "competition")}
    stored = store.read("events", names, ["event_id", "starts_at", "last_asked_at"])
    stored = stored.astype({"event_id": "str"}).set_index("event_id")
    stored = stored.reindex(events["event_id"]).set_axis(events.index)
    known = stored["last_asked_at"].where(stored["starts_at"] == events["starts_at"])
    asked = events["last_asked_at"]
    return events.assign(last_asked_at=asked.where(~(known > asked) & (asked.notna() | known.isna()), known))


def _add_standing(found: OpenPrices, rows: pd.DataFrame, as_of_s: float | None) -> None:
    """Take from the table `standing` until when and by whom each price was seen."""
    end = float("inf") if as_of_s is None else 1e6 * as_of_s
    rows = rows[rows["event_id"].isin(found.events)]
    for *selection, price, observed_at, last_seen_at, scope, competition in _rows(rows, _COLUMNS[:10]):
        name = tuple(selection)
        if scope:
            found.scopes[competition, name[1]] = scope
        if last_seen_at > end:
            found.known_until[name[0]] = max(last_seen_at, found.known_until.get(name[0], 0))
            if price is not None:
                found.later[name] = Sighting(price, observed_at, last_seen_at)
        elif last_seen_at < found.events[name[0]][3]:
            found.asked[name[0]] = max(last_seen_at, found.asked.get(name[0], 0))
        known = found.prices.get(name[0], {}).get(name)
        # `quotes` is the truth: a writer may have been killed before it had taken this price
        if known is not None and known.observed_at == observed_at and last_seen_at <= end:
            known.last_seen_at, known.scope, known.is_flushed = last_seen_at, scope or "", True
    for event, prices in found.prices.items():
        competition = found.events[event][1]
        for (_, bookmaker, *_), one in prices.items():
            one.scope = one.scope or found.scopes.get((competition, bookmaker), "")


def _rows(frame: pd.DataFrame, columns: Sequence[str]) -> Iterator[tuple]:
    """Rows as the parser has them: times in microseconds since 1970, None for what is missing."""
    found = []
    for name in columns:
        values = frame[name].astype("int64") if name.endswith("_at") else frame[name]
        found.append(values.astype(object).mask(frame[name].isna(), None).tolist())
    return zip(*found, strict=True)
