"""Figures of all variants over a ledger of candidate bets, in blocks of variants, and their correction."""

import hashlib
import json
from functools import cache
from importlib.metadata import version as installed
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from overround.evaluation.multiple_testing import correct_for_search, untested
from overround.parallel.tasks import Task
from overround.provenance import library_digest
from overround.sweeps.bets import Bets, bets_of, block, match_days
from overround.sweeps.candidates import GROUP, group_numbers
from overround.sweeps.result import Sweep
from overround.sweeps.settings import SweepSettings
from overround.times import microseconds

# candidates times variants of a piece: about a second, so that the progress moves
_PIECE = 4_000_000
_MOST_IN_PIECE = 64
_LIMITED = ("edge", "price")


@cache
def program() -> str:
    """Digest of this library and the versions of the others, as they were when this process started."""
    return " ".join(
        [library_digest(), *(installed(name) for name in ("overround", "numpy", "pandas", "numba"))]
    )


def digest(what: Any) -> str:
    """Short name of anything that JSON, or else `repr`, can write."""
    return hashlib.blake2b(
        json.dumps(what, sort_keys=True, default=repr).encode(), digest_size=12
    ).hexdigest()


def sweep_candidates(
    ledger: pd.DataFrame, variants: pd.DataFrame, settings: SweepSettings, *, own: bool
) -> Sweep:
    """Every variant on the candidates of its group.

    Parameters
    ----------
    ledger : DataFrame
        What `candidates` returned; or a ledger of the user's with all rows in group 0.
    variants : DataFrame
        What `variants` returned.
    settings : SweepSettings
        Bankroll, correction and where the work is done.
    own : bool
        Whether the ledger is the user's: any of its columns may be limited, and every row is a bet.
    """
    days, day = np.unique(match_days(ledger), return_inverse=True)
    known_at = np.full(len(days), np.iinfo(np.int64).min)
    placed_from = np.full(len(days), np.iinfo(np.int64).max)
    np.maximum.at(known_at, day, microseconds(ledger["settled_at"]))
    np.minimum.at(placed_from, day, microseconds(ledger["placed_at"]))
    limited = _limited(variants) if own else list(_LIMITED)
    of_group = np.zeros(len(variants), np.int64) if own else group_numbers(variants)
    bets = {
        n: bets_of(ledger[ledger[GROUP] == n].drop(columns=GROUP), limited, days, first=not own)
        for n in set(of_group.tolist())
    }
    digests = [bets[n].digest for n in sorted(bets)]
    key = digest([variants.to_dict("records"), of_group.tolist(), settings.bankroll, digests, program()])
    tasks, rows = _tasks(bets, variants, of_group, settings.bankroll)
    answers = settings.work(tasks, key, "blocks of variants")
    found = {
        name: _in_place([answer[name] for answer in answers], rows)
        for name in ("figures", "profit", "staked")
    }
    return Sweep(
        table=_corrected(variants, found, settings),
        varied=variants.attrs["varied"],
        days=pd.DatetimeIndex(days.view("M8[us]"), tz="UTC", name="day"),
        profit=found["profit"],
        staked=found["staked"],
        known_at=known_at,
        placed_from=placed_from,
        bankroll=settings.bankroll,
        bets=bets,
        of_group=of_group,
        key=key,
    )


def _limited(variants: pd.DataFrame) -> list[str]:
    """Columns that any variant limits."""
    bounds = [name for name in variants if name[:4] in ("min_", "max_")]
    return sorted({name[4:] for name in bounds if np.isfinite(variants[name].to_numpy(float)).any()})


def _tasks(
    bets: dict[int, Bets], variants: pd.DataFrame, of_group: NDArray[np.int64], bankroll: float
) -> tuple[list[Task], list[NDArray[np.intp]]]:
    tasks, rows = [], []
    for number, candidates in bets.items():
        members = np.flatnonzero(of_group == number)
        count = len(candidates.void)
        step = int(np.clip(_PIECE // max(count, 1), 1, _MOST_IN_PIECE))
        for begin in range(0, len(members), step):
            at = members[begin : begin + step]
            name, size = f"variants-{number:03d}-{begin:06d}", float(len(at) * (count + 1_000))
            tasks.append(Task(name, block, (variants.iloc[at], bankroll), candidates, size))
            rows.append(at)
    return tasks, rows


def _in_place(parts: list[NDArray], rows: list[NDArray[np.intp]]) -> NDArray:
    whole = np.empty((sum(map(len, rows)), parts[0].shape[1]), parts[0].dtype)
    for part, at in zip(parts, rows, strict=True):
        whole[at] = part
    return whole


def _corrected(variants: pd.DataFrame, found: dict[str, NDArray], settings: SweepSettings) -> pd.DataFrame:
    """The table of figures, with p-values corrected for all that were tried."""
    from overround.sweeps.kernels import FIGURES

    table = variants.assign(**dict(zip(FIGURES, found["figures"].T, strict=True)))
    table = table.astype({"bets": np.int64, "luck_bets": np.int64})
    played = found["staked"].any(axis=0)
    profits = pd.DataFrame(found["profit"][:, played].T, columns=table.index)
    how = {name: getattr(settings, name) for name in ("simulations", "block_days", "seed")}
    corrected = correct_for_search(profits, **how) if played.any() else untested(table["profit"])
    table[["statistic", "p", "p_adjusted"]] = corrected[["statistic", "p", "p_adjusted"]]
    table["luck_p_adjusted"] = np.nan
    if table["luck_bets"].any():
        lucky = correct_for_search(profits, statistics=table["luck_z"].to_numpy(float), **how)
        # two approximations: the corrected p cannot be below the uncorrected one
        table["luck_p_adjusted"] = np.maximum(lucky["p_adjusted"], table["luck_p"])
    table.attrs = dict(corrected.attrs)
    return table
