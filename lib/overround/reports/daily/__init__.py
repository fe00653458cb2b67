"""What a day brought, compared with the day and the week before: market, collection, signals, machine."""

from overround.reports.daily.bets import moves, value_bets
from overround.reports.daily.data import ONE_DAY, Recent, recent
from overround.reports.daily.figures import (
    COLLECTION,
    FIGURES,
    MACHINE,
    MARKET,
    SIGNALS,
    against,
    days,
    looked,
    open_gaps,
)
from overround.reports.daily.tables import digest_headline, digest_table, digest_verdict, signal_table

__all__ = [
    "COLLECTION",
    "FIGURES",
    "MACHINE",
    "MARKET",
    "ONE_DAY",
    "SIGNALS",
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
