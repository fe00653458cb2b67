"""A collector with faults at random, readers, a backtest and a sweep beside it; the long form is `python -m
benchmarks.soak`.
"""

import pytest
from benchmarks.soak import changes, soak


def test_a_naive_reading_has_each_price_once_where_it_changes():
    rows = changes([0, 0, 1, 2])

    assert changes([0, 1, 2]) == rows
    assert len(changes([0])) == 40 * 11 * 3 < len(rows)
    # an answer that was missed is missed in what is expected, too
    assert len(changes([0, 60])) < len(changes([*range(61)]))
    # bookmakers take matches off and come back
    assert sum(price == 0 for *_, price in changes([*range(80)])) > 10


@pytest.mark.slow
def test_under_faults_beside_readers_a_backtest_and_a_sweep_nothing_is_lost_doubled_or_torn(tmp_path):
    found = soak(80, tmp_path, readers=3, seed=3)

    assert found.ok, found
    assert sum(found.faults.values()) >= 3 and found.rows > 1_320
    assert min(found.reads) > 5
    assert found.backtests > 0 and found.sweeps > 0 and found.swept_bets > 50
