"""Many variants of a strategy over the same data at once: one pass over the prices, compiled loops over the variants, all of them counted.

A variant's figures are those of `backtest` and `evaluate` with its parameters, wherever and in whatever order
they are worked on.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.metadata import version as installed
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from overround.errors import ParameterError
from overround.evaluation.multiple_testing import correct_for_search
from overround.parallel.partitions import partition_frames, partition_sizes
from overround.parallel.tasks import HERE, Piece, Show, work
from overround.provenance import library_digest
from overround.settings import load_settings
from overround.store.store import Store
from overround.sweeps.bets import Bets, bets_of, block, ledger_of, match_days
from overround.sweeps.candidates import GROUP, candidates, group_numbers, groups_of, unknown_references
from overround.sweeps.space import Space, label, rule_of, variants
from overround.times import Times, microseconds

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["Sweep", "sweep", "variants"]

_TABLES = ("quotes", "results")
# candidates times variants of a piece: about a second, and a progress that moves
_PIECE = 4_000_000
_MOST_IN_PIECE = 64
_LIMITED = ("edge", "price")


@dataclass(frozen=True, eq=False)
class Sweep:
    """What a sweep found.

    Attributes
    ----------
    table : DataFrame
        Index variant; the parameters, and the figures that `sweep` tells of.
    varied : list of str
        Parameters with several values.
    days : DatetimeIndex
        Match days on which any variant could bet.
    profit, staked : ndarray, shape (variants, days)
        Of each match day, in half the digits.
    known_at, placed_from : ndarray, shape (days,)
        When the last bet of each day was settled, and when the first one was placed, in microseconds since
        1970.
    bankroll : float
        Of each variant, at the start.
    bets, of_group
        What could be bet, by the number of a group of variants, and each variant's group.
    key : str
        Of what was asked: parameters, data and library.

    Examples
    --------
    >>> import overround as ov
    >>> events, quotes, results = ov.example()
    >>> swept = ov.sweep(quotes, {"reference": "sharp", "min_edge": [0.01, 0.02, 0.03], "staking": "flat"}, results)
    >>> len(swept.ledger(0)), swept.tried, swept.varied
    (145, 3, ['min_edge'])
    """

    table: pd.DataFrame
    varied: list[str]
    days: pd.DatetimeIndex
    profit: NDArray[np.float32]
    staked: NDArray[np.float32]
    known_at: Times
    placed_from: Times
    bankroll: float
    bets: dict[int, Bets]
    of_group: NDArray[np.int64]
    key: str

    @property
    def tried(self) -> int:
        """How many variants were tried, also those that never bet."""
        return len(self.table)

    @cached_property
    def labels(self) -> pd.Series:
        """Each variant in words."""
        return pd.Series([label(row, self.varied) for row in self.table.to_dict("records")], self.table.index)

    def ledger(self, variant: int) -> pd.DataFrame:
        """The whole ledger of one variant, as `backtest` makes it; ParameterError for a number that no variant has."""
        if variant not in self.table.index:
            raise ParameterError(
                f"there is no variant {variant!r}; they are numbered from 0 to {self.tried - 1}."
            )
        place = self.table.index.get_loc(variant)
        row = self.table.loc[variant].to_dict()
        return ledger_of(self.bets[int(self.of_group[place])], row, self.bankroll, self.labels[variant])


def sweep(
    data: pd.DataFrame | Store,
    space: Space,
    results: pd.DataFrame | None = None,
    *,
    sample: int | None = None,
    how: str = "latin",
    judge: str | None = None,
    judge_method: str | None = None,
    bankroll: float = 1_000.0,
    where: Mapping[str, Any] | None = None,
    version: str | None = None,
    simulations: int = 2_000,
    block_days: float = 1,
    seed: int = 7,
    keep: Path | None = None,
    scheduler: "str | Client | None" = None,
    workers: int | None = None,
    memory_mb: float | None = None,
    patience_s: float = 300.0,
    show: Show | None = None,
) -> Sweep:
    """Try all variants of a strategy on the same data.

    Parameters
    ----------
    data : DataFrame or Store
        The table `quotes` as `Store.read` gives it, with `results`; a store, of which `where` and `version`
        choose; or a ledger, whose bets are those that variants choose from (without accounts and execution;
        its stakes do not matter).
    space : mapping
        As in `variants`: value bets over references, methods, thresholds, bookmakers, leagues, seasons and
        stakings. For a ledger min_ and max_ of any of its columns of numbers instead (min_edge, max_price
        ...).
    results : DataFrame, optional
        The table `results`, where `data` is quotes.
    sample, how : int, str
        As in `variants`.
    judge, judge_method : str, optional
        Reference and method of the closing lines by which all variants are judged; by default those of the
        first variant.
    bankroll : float
        Of each variant, at the start.
    where, version
        For a store: as in `map_partitions`.
    simulations, block_days, seed
        As in `correct_for_search`; the seed is also that of the sample.
    keep : Path, optional
        Folder of partial results. They are found again by what was asked (parameters, data, library): a sweep
        that was stopped goes on, one that was finished is read.
    scheduler : str or distributed.Client, optional
        "here", the address of a Dask scheduler (`tcp://host:8786`) or a client of one; by default the setting
        OVERROUND_SCHEDULER, and where that is empty here.
    workers : int, optional
        Threads here, by default one a core.
    memory_mb : float, optional
        For a store: as in `map_partitions`.
    patience_s : float
        How long a cluster that is gone is waited for.
    show : callable, optional
        Told the `Progress` now and then.

    Returns
    -------
    Sweep
        Its `table` has a row a variant: the parameters; bets, staked, profit, yield with low and high (95 %,
        linearised, by match day), mean_price, final_bankroll, max_drawdown, clv, beat_close, as in
        `evaluate`; luck_p, the chance of at least this profit in the histories of `luck_test` with these
        stakes (exact up to 14 bets, else normal with its skewness), luck_bets and luck_z, its standard score;
        statistic, p and p_adjusted of `correct_for_search` over all variants, and luck_p_adjusted, the luck
        test's p adjusted the same way. `table.attrs` has what `correct_for_search` has.

    Raises
    ------
    ParameterError
        A parameter, value or scheduler that cannot be.
    RunError
        A cluster that stayed away; what was done is kept.

    Examples
    --------
    >>> import overround as ov
    >>> events, quotes, results = ov.example()
    >>> swept = ov.sweep(quotes, {"reference": "sharp", "min_edge": [0.01, 0.02, 0.03], "staking": "flat"}, results)
    >>> swept.table["bets"].is_monotonic_decreasing, bool((swept.table["p_adjusted"] >= swept.table["p"]).all())
    (True, True)
    """
    if not bankroll > 0:
        raise ParameterError(f"bankroll is {bankroll}; it must be above 0.")
    if not isinstance(data, Store) and (where or version):
        raise ParameterError(
            "where and version choose rows of a store; of a table give the rows that are meant."
        )
    if isinstance(data, Store) and results is not None:
        raise ParameterError("a store has its own results; give them where data is quotes.")
    settings = load_settings()
    scheduler = (settings.scheduler or HERE) if scheduler is None else scheduler
    how_to = {"scheduler": scheduler, "workers": workers, "patience_s": patience_s, "show": show}
    given = isinstance(data, pd.DataFrame) and results is None
    tried = variants(space, sample, how=how, seed=seed, limits=_limits_of(data) if given else None)
    varied = tried.attrs["varied"]
    for stakes in {
        repr(row): row for row in tried[["staking", "stake", "cap", "drawdown"]].to_dict("records")
    }.values():
        rule_of(stakes, bankroll)  # a wrong one stops it here
    if isinstance(data, Store):
        memory = settings.memory_mb if memory_mb is None else memory_mb
        ledger = _from_store(
            data, tried, judge, judge_method, where, version, keep, {**how_to, "memory_mb": memory}
        )
    elif given:
        ledger = data.assign(**{GROUP: 0})
    else:
        assert results is not None  # noqa: S101  # else it is a ledger
        ledger = candidates(
            {"quotes": data, "results": results}, groups_of(tried), *_judge(tried, judge, judge_method)
        )
    return _over_candidates(
        ledger, tried, varied, given, bankroll, keep, how_to, (simulations, block_days, seed)
    )


@cache
def _program() -> str:
    """What computes, as it was when this process began to: this library, and the versions of the others."""
    return " ".join(
        [library_digest(), *(installed(name) for name in ("overround", "numpy", "pandas", "numba"))]
    )


def _limits_of(ledger: Any) -> list[str]:
    return [name for name in ledger if pd.api.types.is_numeric_dtype(ledger[name].dtype)]


def _judge(tried: pd.DataFrame, judge: str | None, method: str | None) -> tuple[str, str]:
    first = tried.iloc[0]
    return judge or str(first["reference"]), method or str(first["method"])


def _from_store(
    store: Store,
    tried: pd.DataFrame,
    judge: str | None,
    judge_method: str | None,
    where: Mapping[str, Any] | None,
    version: str | None,
    keep: Path | None,
    how_to: dict[str, Any],
) -> pd.DataFrame:
    """Candidates of a store, league by league."""
    version = version or store.version()
    parts = partition_sizes(store, _TABLES, where, version)
    if parts.empty:
        raise ParameterError(
            f"the store {store.root} has no quotes to sweep over{f' with {dict(where)}' if where else ''}."
        )
    groups, by = groups_of(tried), _judge(tried, judge, judge_method)
    files = pd.concat([store.files(name, version).to_pandas() for name in (*_TABLES, "events")])
    # a notebook may know the same store by another path
    place, pieces = (str(Path(store.root).resolve()) if store.is_local else store.root), []
    for (competition, season), part in parts.iterrows():
        mine = files[(files["competition"] == competition) & (files["season"] == season)]["path"]
        asked = (place, competition, season, sorted(mine), dict(where or {}), groups, by, _program())
        here = {**(where or {}), "competition": competition, "season": season}
        own = (store, here, version, groups, by)
        pieces.append(
            Piece(
                f"candidates-{_digest(asked)}",
                _of_partition,
                own,
                size=float(part["rows"]),
                mb=float(part["mb"]),
            )
        )
    ledger = pd.concat(
        work(pieces, None if keep is None else keep / "candidates", what="seasons read", **how_to),
        ignore_index=True,
    )
    lost = (
        []
        if len(ledger)
        else unknown_references(groups, set(store.read("quotes", where, ["bookmaker"], version)["bookmaker"]))
    )
    if lost:
        raise ParameterError(f"{lost[0]!r} has no prices in the store {store.root}.")
    return ledger


def _of_partition(
    store: Store, where: dict[str, Any], version: str, groups: list[dict], by: tuple[str, str]
) -> pd.DataFrame:
    return candidates(partition_frames(store, _TABLES, where, version), groups, *by, strict=False)


def _over_candidates(
    ledger: pd.DataFrame,
    tried: pd.DataFrame,
    varied: list[str],
    given: bool,
    bankroll: float,
    keep: Path | None,
    how_to: dict[str, Any],
    correction: tuple[int, float, int],
) -> Sweep:
    day, ends = match_days(ledger), (microseconds(ledger["settled_at"]), microseconds(ledger["placed_at"]))
    days, at = np.unique(day, return_inverse=True)
    known_at, placed_from = (
        np.full(len(days), np.iinfo(np.int64).min),
        np.full(len(days), np.iinfo(np.int64).max),
    )
    np.maximum.at(known_at, at, ends[0])
    np.minimum.at(placed_from, at, ends[1])
    limited = _limited(tried, given)
    of_group = np.zeros(len(tried), np.int64) if given else group_numbers(tried)
    bets = {
        n: bets_of(ledger[ledger[GROUP] == n].drop(columns=GROUP), limited, days, first=not given)
        for n in set(of_group.tolist())
    }
    key = _digest(
        [
            tried.to_dict("records"),
            of_group.tolist(),
            bankroll,
            [bets[n].digest for n in sorted(bets)],
            _program(),
        ]
    )
    pieces, rows = _pieces(bets, tried, of_group, bankroll)
    answers = work(pieces, None if keep is None else keep / key, what="blocks of variants", **how_to)
    found = {
        name: _in_place([answer[name] for answer in answers], rows)
        for name in ("figures", "profit", "staked")
    }
    table = _corrected(tried, found, *correction)
    return Sweep(
        table,
        varied,
        pd.DatetimeIndex(days.view("M8[us]"), tz="UTC", name="day"),
        found["profit"],
        found["staked"],
        known_at,
        placed_from,
        bankroll,
        bets,
        of_group,
        key,
    )


def _limited(tried: pd.DataFrame, given: bool) -> list[str]:
    """Columns that any variant limits."""
    if not given:
        return list(_LIMITED)
    bounds = {name: tried[name] for name in tried if name[:4] in ("min_", "max_")}
    return sorted({name[4:] for name, values in bounds.items() if np.isfinite(values.to_numpy(float)).any()})


def _pieces(
    bets: dict[int, Bets], tried: pd.DataFrame, of_group: NDArray[np.int64], bankroll: float
) -> tuple[list[Piece], list[NDArray[np.intp]]]:
    pieces, rows = [], []
    for number, mine in bets.items():
        of_it = np.flatnonzero(of_group == number)
        many = int(np.clip(_PIECE // max(len(mine.price), 1), 1, _MOST_IN_PIECE))
        for begin in range(0, len(of_it), many):
            at = of_it[begin : begin + many]
            size = float(len(at) * (len(mine.price) + 1_000))
            pieces.append(
                Piece(f"variants-{number:03d}-{begin:06d}", block, (tried.iloc[at], bankroll), mine, size)
            )
            rows.append(at)
    return pieces, rows


def _in_place(parts: list[NDArray], rows: list[NDArray[np.intp]]) -> NDArray:
    whole = np.empty((sum(map(len, rows)), parts[0].shape[1]), parts[0].dtype)
    for part, at in zip(parts, rows, strict=True):
        whole[at] = part
    return whole


def _corrected(
    tried: pd.DataFrame, found: dict[str, NDArray], simulations: int, block_days: float, seed: int
) -> pd.DataFrame:
    """The table of figures, with what they are worth after so many were tried."""
    from overround.sweeps.kernels import FIGURES

    table = tried.assign(**dict(zip(FIGURES, found["figures"].T, strict=True)))
    table = table.astype({"bets": np.int64, "luck_bets": np.int64})
    played = found["staked"].any(axis=0)
    if not played.any():
        table[["statistic", "p", "p_adjusted", "luck_p_adjusted"]] = np.nan
        table.attrs = {"tried": len(table), "best": table.index[0]} | dict.fromkeys(
            ("reality_check", "spa_lower", "spa_consistent", "spa_upper"), np.nan
        )
        return table
    profits = pd.DataFrame(found["profit"][:, played].T, columns=table.index)
    judged = correct_for_search(profits, simulations=simulations, block_days=block_days, seed=seed)
    table[["statistic", "p", "p_adjusted"]] = judged[["statistic", "p", "p_adjusted"]]
    table["luck_p_adjusted"] = np.nan
    if table["luck_bets"].any():
        z = table["luck_z"].to_numpy(float)
        lucky = correct_for_search(
            profits, statistics=z, simulations=simulations, block_days=block_days, seed=seed
        )
        # two approximations: what is corrected cannot be below what is not
        table["luck_p_adjusted"] = np.maximum(lucky["p_adjusted"], table["luck_p"])
    table.attrs = dict(judged.attrs)
    return table


def _digest(what: Any) -> str:
    return hashlib.blake2b(
        json.dumps(what, sort_keys=True, default=repr).encode(), digest_size=12
    ).hexdigest()
