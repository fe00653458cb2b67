"""The rows that a daily digest reads from the store: nine days of one source, and the machine's logs."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

import pandas as pd

from overround.errors import ParameterError
from overround.sources.registry import SIMULATED
from overround.store.store import Store
from overround.times import moment

DAYS = 8  # the last one and the seven before it
ONE_DAY = pd.Timedelta(days=1)


@dataclass(frozen=True)
class Recent:
    """Rows of the last nine days: quotes with kick-off and teams, results, calls, measurements and runs."""

    quotes: pd.DataFrame
    results: pd.DataFrame
    requests: pd.DataFrame
    measurements: pd.DataFrame
    runs: pd.DataFrame
    until: pd.Timestamp
    machine_until: pd.Timestamp
    hours: float

    @property
    def begin(self) -> pd.Timestamp:
        """When the last day began."""
        return self.until - pd.Timedelta(hours=self.hours)

    @property
    def today(self) -> pd.DataFrame:
        """Quotes collected on the last day."""
        return self.quotes[self.quotes["collected_at"] > self.begin]

    @property
    def calls_today(self) -> pd.DataFrame:
        """Calls to the provider on the last day, by the machine's own clock."""
        return self.requests[self.requests["at"] > self.machine_until - pd.Timedelta(hours=self.hours)]


def recent(
    store: Store,
    source: str,
    *,
    until: str = "",
    hours: float = 24,
    leagues: Iterable[str] = (),
    version: str | None = None,
) -> Recent:
    """Read what a digest needs; an empty store gives empty tables.

    Parameters
    ----------
    store : Store
        To read from.
    source : str
        Provider of the prices.
    until : str
        ISO time at which the last day ends, UTC; empty: now. The simulated market has a time of its own:
        there it is the time of the newest row, and the machine's logs go up to now.
    hours : float
        Length of a day, above 0 and at most 24.
    leagues : iterable of str
        Competitions; empty: all.
    version : str, optional
        Of the tables, as `Store.version` returns it.

    Raises
    ------
    ParameterError
        For a time that cannot be read, or a length that is not allowed.
    """
    if not 0 < hours <= 24:
        raise ParameterError(f"hours is {hours:g}; a day has more than 0 and at most 24.")
    now = pd.Timestamp(datetime.now(UTC))
    end = now
    if until:
        end = moment(until, "until", "2025-08-01T12:00")
    elif source == SIMULATED:
        end = _newest(store, source, version) or now
    machine_until = now if source == SIMULATED else end
    leagues = list(leagues)
    logs = (("requests", "at"), ("measurements", "at"), ("runs", "started_at"))
    requests, measurements, runs = (_log(store, name, column, machine_until) for name, column in logs)
    quotes = _quotes(store, source, leagues, end, version or store.version())
    results = store.read("results", {"competition": leagues} if leagues else None, version=version)
    results = results[results["event_id"].isin(quotes["event_id"]) & ~(results["settled_at"] > end)]
    return Recent(
        quotes,
        results,
        requests[requests["provider"] == source],
        measurements,
        runs,
        end,
        machine_until,
        float(hours),
    )


def _quotes(store: Store, source: str, leagues: list[str], end: pd.Timestamp, version: str) -> pd.DataFrame:
    if "quotes=" not in version or "events=" not in version:
        empty = store.read("quotes", {"competition": "-"})
        return empty.assign(home=pd.Series(dtype="str"), away=pd.Series(dtype="str"))
    chosen = "AND list_contains($leagues, q.competition)" if leagues else ""
    # all prices of matches that were still ahead, including what a strategy knew at the beginning
    wanted = f"""
        SELECT q.*, e.starts_at, e.home, e.away
        FROM quotes q JOIN events e USING (event_id)
        WHERE q.source = $source {chosen} AND q.collected_at <= $until
          AND (q.collected_at > $since OR e.starts_at > $since)
          AND coalesce(e.status, '') NOT IN ('retracted', 'retired')
        ORDER BY q.collected_at, q.event_id, q.bookmaker, q.market, q.line, q.outcome
    """  # noqa: S608 - no text from outside
    values = {"source": source, "since": end - (DAYS + 1) * ONE_DAY, "until": end}
    return store.sql(wanted, version, values | ({"leagues": leagues} if leagues else {}))


def _log(store: Store, name: str, column: str, until: pd.Timestamp) -> pd.DataFrame:
    """Rows of a log from the days before `until`, without reading the whole log."""
    if f"{name}=" not in store.version():
        return store.read(name)
    wanted = f"SELECT * FROM {name} WHERE {column} > $since AND {column} <= $until"  # noqa: S608 - our names
    return store.sql(wanted, values={"since": until - DAYS * ONE_DAY, "until": until})


def _newest(store: Store, source: str, version: str | None) -> pd.Timestamp | None:
    """When the last price came, or the last score soon after it."""
    if "quotes=" not in (version or store.version()):
        return None
    wanted = "SELECT max(collected_at) AS at FROM quotes WHERE source = $source"
    newest = store.sql(wanted, version, {"source": source})["at"][0]
    # the scores of the last matches come after the last price
    ended = store.read("results", columns=["settled_at"], version=version)["settled_at"]
    near = ended[(ended > newest) & (ended < newest + ONE_DAY)].max()
    return next((at for at in (near, newest) if not pd.isna(at)), None)
