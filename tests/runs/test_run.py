"""What a run keeps of its bets."""

import pandas as pd
import pytest

from overround.runs.run import bankroll_path

SETTLED = pd.DatetimeIndex(["2025-02-01 17:00", "2025-01-04 17:00", "2025-01-11 17:00"], tz="UTC")


@pytest.mark.parametrize("index", [[0, 1, 2], [0, 0, 0]], ids=["numbered", "put together of several"])
def test_the_bankroll_begins_before_the_bet_that_is_settled_first(index):
    ledger = pd.DataFrame(
        {"settled_at": SETTLED, "profit": [5.0, -10.0, 20.0], "bankroll": [115.0, 90.0, 110.0]}, index=index
    )

    assert bankroll_path(ledger) == [100.0, 90.0, 110.0, 115.0]
    assert bankroll_path(ledger.assign(bankroll_at_start=100.0)) == [100.0, 90.0, 110.0, 115.0]
    assert bankroll_path(ledger.iloc[[0, 1]]) == [90.0, 115.0]  # a part of it does not say where it began
    assert bankroll_path(ledger.head(0)) == []
