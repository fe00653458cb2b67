"""Ledgers whose truth is known."""

from overround import Flat, backtest
from tests.support.books import season


def ledger_of(n=400, *, seed, edge=0.0):
    wanted, ended, closing = season(n, seed=seed, edge=edge)
    return backtest(wanted, ended, stake=Flat(1), closing=closing)


def at_better_prices(ledger, by):
    """The same bets, which pay so much of the price more whenever they win."""
    return ledger.assign(
        profit=ledger["profit"] + by * ledger["price"] * (ledger["result"] == "won"), clv=ledger["clv"] + by
    )
