"""Many variants of a strategy over the same data: one pass over the prices, compiled loops over the variants.

A variant's figures are those of `backtest` and `evaluate` with its parameters, wherever and in whatever order
they are computed; every variant counts as tried.
"""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from overround.errors import ParameterError
from overround.forecasts.past_references import reference_periods
from overround.store.store import Store
from overround.sweeps.blocks import sweep_candidates
from overround.sweeps.candidates import GROUP, automatic, candidates, groups_of
from overround.sweeps.from_store import candidates_of
from overround.sweeps.result import Sweep
from overround.sweeps.settings import SweepSettings
from overround.sweeps.space import Space, rule_of, variants

_DEFAULTS = SweepSettings()


def sweep(
    data: pd.DataFrame | Store,
    space: Space,
    results: pd.DataFrame | None = None,
    settings: SweepSettings = _DEFAULTS,
    *,
    where: Mapping[str, Any] | None = None,
    version: str | None = None,
) -> Sweep:
    """Try all variants of a strategy on the same data.

    Parameters
    ----------
    data : DataFrame or Store
        The table `quotes` as `Store.read` returns it, with `results`; a store, filtered by `where` and
        `version`; or a ledger whose bets the variants choose from (without accounts and execution; its stakes
        do not matter).
    space : mapping
        As in `variants`: value bets over references, methods, thresholds, bookmakers, leagues, seasons and
        stakings. For a ledger min_ and max_ of any of its numeric columns instead (min_edge, max_price ...).
    results : DataFrame, optional
        The table `results`, where `data` is quotes.
    settings : SweepSettings
        Sample, closing lines, bankroll, correction, and where the work is done.
    where, version
        For a store: as in `map_partitions`.

    Returns
    -------
    Sweep
        Its `table` has a row per variant: the parameters; bets, staked, profit, yield with low and high (95 %
        interval, linearised, by match day), mean_price, final_bankroll, max_drawdown, clv, beat_close, as in
        `evaluate`; luck_p, the chance of at least this profit in the histories of `luck_test` with these
        stakes (exact up to 14 bets, else normal with its skewness), luck_bets and luck_z, its standard score;
        statistic, p and p_adjusted of `correct_for_search` over all variants, and luck_p_adjusted, the luck
        test's p adjusted the same way. `table.attrs` has those of `correct_for_search`.

    Raises
    ------
    ParameterError
        For an impossible parameter, value or scheduler.
    RunError
        If the cluster stayed away; what was done is kept.

    Examples
    --------
    >>> import overround as ov
    >>> events, quotes, results = ov.example()
    >>> space = {"reference": "sharp", "min_edge": [0.01, 0.02, 0.03], "staking": "flat"}
    >>> swept = ov.sweep(quotes, space, results, ov.sweeps.SweepSettings(simulations=500))
    >>> swept.table["bets"].is_monotonic_decreasing, len(swept.table)
    (True, 3)
    """
    if not isinstance(data, Store) and (where or version):
        raise ParameterError(
            "where and version choose rows of a store; of a table give the rows that are meant."
        )
    if isinstance(data, Store) and results is not None:
        raise ParameterError("a store has its own results; give them where data is quotes.")
    own = isinstance(data, pd.DataFrame) and results is None
    limits = _numeric(data) if isinstance(data, pd.DataFrame) and own else None
    tried = variants(space, settings.sample, how=settings.how, seed=settings.seed, limits=limits)
    stakes = tried[["staking", "stake", "cap", "drawdown"]].to_dict("records")
    for stake in {repr(row): row for row in stakes}.values():
        rule_of(stake, settings.bankroll)  # an impossible one stops it here
    if isinstance(data, Store):
        ledger = candidates_of(data, tried, settings, where, version)
    elif results is None:
        ledger = data.assign(**{GROUP: 0})
    else:
        frames, groups, closing = (
            {"quotes": data, "results": results},
            groups_of(tried),
            settings.closing(tried),
        )
        periods = {method: reference_periods(data, results, method) for method in automatic(groups, *closing)}
        ledger = candidates(frames, groups, *closing, periods=periods)
    return sweep_candidates(ledger, tried, settings, own=own)


def _numeric(ledger: pd.DataFrame) -> list[str]:
    return [name for name in ledger if pd.api.types.is_numeric_dtype(ledger[name].dtype)]
