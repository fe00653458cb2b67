"""Earlier runs in the store: which ran, what they cost, what they bet, how they differed. Only reads."""

import json

import pandas as pd

from overround.errors import ParameterError
from overround.measure.meter import cost_table
from overround.reports.notebooks import BACKTEST
from overround.schema import FOUND
from overround.store.store import Store

_COSTS = ".performance"  # how the id of a report on performance ends


def newest_pipeline(measurements: pd.DataFrame, *, before: str = "") -> str:
    """Name of the newest pipeline, or of the newest before another; empty where there is none.

    A pipeline's name begins with its time (UTC), so names sort by time. A poller, which may run for months,
    does not count, nor does a report on performance by itself, nor a run without a measured stage.
    """
    ran = measurements.loc[measurements["stage"] != FOUND, "run_id"].unique()
    names = {run_id.partition(".")[0] for run_id in ran if not run_id.endswith((".poll", _COSTS))}
    return max((name for name in names if not before or name < before), default="")


def stage_costs(measurements: pd.DataFrame, pipeline: str) -> pd.DataFrame:
    """Costs of a pipeline's runs: a row a stage, `<label>: <stage>`, a column a metric.

    A report on performance does not report on itself.

    Raises
    ------
    ParameterError
        Where the pipeline has left no measurements, with the newest that has.
    """
    run = measurements["run_id"]
    rows = measurements[
        run.str.startswith(f"{pipeline}.") & ~run.str.endswith(_COSTS) & (measurements["stage"] != FOUND)
    ]
    if rows.empty:
        raise ParameterError(
            f"pipeline {pipeline!r} has no measurements in this store; "
            f"the newest is {newest_pipeline(measurements) or 'none'}."
        )
    label = rows["run_id"].str[len(pipeline) + 1 :]
    return cost_table(rows.sort_values("at", kind="stable").assign(stage=label + ": " + rows["stage"]))


def without_compiling(measurements: pd.DataFrame) -> pd.DataFrame:
    """The same rows, runtime and processor time without compiling kernels, which a machine does once."""
    compiled = measurements[measurements["metric"] == "compile_s"].groupby(["run_id", "stage"])["value"].sum()
    took = compiled.reindex(
        pd.MultiIndex.from_frame(measurements[["run_id", "stage"]]), fill_value=0.0
    ).to_numpy()
    less = (measurements["value"] - took).clip(lower=0.0)
    return measurements.assign(
        value=measurements["value"].where(~measurements["metric"].isin(["wall_s", "cpu_s"]), less)
    )


def cost_change(measurements: pd.DataFrame, before: str, after: str) -> pd.DataFrame:
    """Wall time (s) of each stage that two pipelines share, with the ratio; the longest first.

    Times are `without_compiling`.
    """
    empty = pd.DataFrame({"before": [], "after": [], "ratio": []}, dtype=float).rename_axis("stage")
    if not before:
        return empty
    measurements = without_compiling(measurements)
    pair = pd.concat(
        {
            "before": stage_costs(measurements, before)["wall_s"],
            "after": stage_costs(measurements, after)["wall_s"],
        },
        axis=1,
    ).dropna()
    return (
        pair.assign(ratio=pair["after"] / pair["before"])
        .sort_values("after", ascending=False)
        .rename_axis("stage")
    )


def newest_backtests(store: Store, most: int = 2) -> list[str]:
    """Ids of the newest finished backtests, oldest first.

    Raises
    ------
    ParameterError
        Where there are fewer.
    """
    ids = _backtests(store)[-most:]
    if len(ids) < most:
        raise ParameterError(
            f"the store {store.root} has {len(ids)} finished backtests, {most} are needed: "
            "run notebooks/backtest.ipynb first."
        )
    return ids


def read_ledgers(store: Store, run_ids: list[str]) -> dict[str, pd.DataFrame]:
    """Ledgers by run, in the order of settlement.

    Raises
    ------
    ParameterError
        For a run that is not in the store, with the newest that are.
    """
    known = _backtests(store)
    unknown = [run_id for run_id in run_ids if run_id not in known]
    if unknown:
        raise ParameterError(
            f"run {unknown[0]!r} is no finished backtest in this store; "
            f"the newest are {', '.join(known[-6:]) or 'none'}."
        )
    return {
        run_id: store.read("ledgers", {"run_id": run_id})
        .sort_values(["settled_at", "placed_at"], kind="stable")
        .reset_index(drop=True)
        for run_id in run_ids
    }


def run_differences(store: Store, run_ids: list[str]) -> pd.DataFrame:
    """Parameters, data and program versions that are not the same in all runs: a row each, a column a run."""
    runs = store.read("runs", {"run_id": run_ids}).set_index("run_id").loc[run_ids]
    facts = {
        run_id: {
            **{
                name: _plain(value)
                for name, value in json.loads(row["parameters"]).items()
                if name not in ("run_id", "store_version")
            },
            "data version": row["store_version"],
            "program": row["git_revision"],
            **{f"version of {name}": value for name, value in json.loads(row["versions"]).items()},
        }
        for run_id, row in runs.iterrows()
    }
    table = pd.DataFrame(facts, dtype=object).fillna("–").rename_axis("what")
    return table[table.ne(table.iloc[:, 0], axis=0).any(axis=1)]


def source_of(store: Store, run_ids: list[str]) -> str:
    """The source that the runs read; several are joined by a plus."""
    runs = store.read("runs", {"run_id": run_ids})
    return "+".join(sorted({json.loads(text).get("source", "") for text in runs["parameters"]} - {""}))


def short_names(run_ids: list[str]) -> dict[str, str]:
    """The shortest names that tell runs apart: the label, or the whole id where labels repeat."""
    labels = [run_id.partition(".")[2] for run_id in run_ids]
    return {
        run_id: label if labels.count(label) == 1 else run_id
        for run_id, label in zip(run_ids, labels, strict=True)
    }


def _backtests(store: Store) -> list[str]:
    runs = store.read("runs")
    return (
        runs[(runs["notebook"] == BACKTEST) & (runs["status"] == "ok")]
        .sort_values("ended_at", kind="stable")["run_id"]
        .tolist()
    )


def _plain(value: object) -> str:
    return ", ".join(map(str, value)) or "all" if isinstance(value, list) else str(value) or "default"
