"""Candidate bets of a sweep out of a store, one league and season at a time."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from overround.errors import ParameterError
from overround.forecasts.past_references import chosen_periods, scored_markets
from overround.parallel.partitions import partition_frames, partition_sizes
from overround.parallel.tasks import Task
from overround.settings import load_settings
from overround.store.store import Store
from overround.sweeps.blocks import digest, program
from overround.sweeps.candidates import automatic, candidates, groups_of, unknown_references
from overround.sweeps.settings import SweepSettings

_TABLES = ("quotes", "results")


def candidates_of(
    store: Store,
    variants: pd.DataFrame,
    settings: SweepSettings,
    where: Mapping[str, Any] | None,
    version: str | None,
) -> pd.DataFrame:
    """Ledger of a unit on every price that any of the variants could bet, as `candidates` makes it.

    Raises
    ------
    ParameterError
        For a store without such quotes, or a reference or bookmaker that has no prices in it.
    """
    version = version or store.version()
    parts = partition_sizes(store, _TABLES, where, version)
    if parts.empty:
        raise ParameterError(
            f"the store {store.root} has no quotes to sweep over{f' with {dict(where)}' if where else ''}."
        )
    groups, closing = groups_of(variants), settings.closing(variants)
    periods = {
        method: _periods(store, where or {}, version, method) for method in automatic(groups, *closing)
    }
    chosen = {method: table.to_csv() for method, table in periods.items()}
    files = pd.concat([store.files(name, version).to_pandas() for name in (*_TABLES, "events")])
    # a notebook may know the same store by another path
    root = str(Path(store.root).resolve()) if store.is_local else store.root
    tasks = []
    for (competition, season), part in parts.iterrows():
        read = files[(files["competition"] == competition) & (files["season"] == season)]["path"]
        key = (root, competition, season, sorted(read), dict(where or {}), groups, closing, chosen, program())
        here = {**(where or {}), "competition": competition, "season": season}
        tasks.append(
            Task(
                f"candidates-{digest(key)}",
                _of_partition,
                (store, here, version, groups, closing, periods),
                size=float(part["rows"]),
                mb=float(part["mb"]),
            )
        )
    memory_mb = load_settings().memory_mb if settings.memory_mb is None else settings.memory_mb
    ledger = pd.concat(settings.work(tasks, "candidates", "seasons read", memory_mb), ignore_index=True)
    if ledger.empty:
        names = set(store.read("quotes", where, ["bookmaker"], version)["bookmaker"])
        if unknown := unknown_references(groups, names):
            raise ParameterError(f"{unknown[0]!r} has no prices in the store {store.root}.")
    return ledger


def _periods(store: Store, where: Mapping[str, Any], version: str, method: str) -> pd.DataFrame:
    """References by period from all seasons of the leagues, one league and season in memory at a time."""
    wanted = {name: value for name, value in where.items() if name != "season"} | {"market": "h2h"}
    scored = []
    for competition, season in partition_sizes(store, _TABLES, wanted, version).index:
        here = {**wanted, "competition": competition, "season": season}
        frames = partition_frames(store, _TABLES, here, version)
        scored.append(scored_markets(frames["quotes"], frames["results"], method))
    return chosen_periods(pd.concat(scored, ignore_index=True))


def _of_partition(
    store: Store,
    where: dict[str, Any],
    version: str,
    groups: list[dict],
    closing: tuple[str, str],
    periods: dict[str, pd.DataFrame],
) -> pd.DataFrame:
    frames = partition_frames(store, _TABLES, where, version)
    return candidates(frames, groups, *closing, strict=False, periods=periods)
