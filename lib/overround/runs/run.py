"""A notebook's run: parameters checked, stages measured, rows pinned to a version, findings recorded."""

import json
import os
from collections.abc import Mapping
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from html import escape
from time import process_time
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from overround.errors import ParameterError, StoreError
from overround.evaluation.drawdown import bankroll_at_start
from overround.measure.meter import Meter, Stage
from overround.measure.sampler import Sampler, write
from overround.provenance import git_revision, new_pipeline, versions
from overround.reports.records import OK, RUN_MIME
from overround.runs.execute import REVISION
from overround.runs.parameters import check_here
from overround.runs.profile_files import of_run
from overround.schema import AUTO, FOUND, TABLES
from overround.settings import load_settings
from overround.sources.registry import SHARP, credit
from overround.store.store import Store

if TYPE_CHECKING:
    from overround.prices.periods import Reference


class Run:
    """One execution of a notebook, by hand, by papermill or by `overround run`.

    Parameters
    ----------
    notebook : str
        Its name, as in `notebooks/<name>.ipynb`.
    values : mapping
        The notebook's `globals()`, in which its parameters are.

    Raises
    ------
    ParameterError
        For a parameter that is unknown, of the wrong type or out of range.

    Examples
    --------
    >>> import overround as ov
    >>> from overround.runs.parameters import notebook_path, read_parameters
    >>> declared = read_parameters(notebook_path("explore", ov.settings.load_settings().home))
    >>> run = ov.Run("explore", {name: one.default for name, one in declared.items()})
    >>> run.source, run.sharp
    ('sample', 'sim_sharp')
    """

    def __init__(self, notebook: str, values: Mapping[str, Any]):
        self.notebook, self.parameters = notebook, check_here(notebook, values)
        self.settings = load_settings()
        self.id = values.get("run_id") or f"{new_pipeline()}.{notebook}"
        self.meter = Meter(self.id)
        self.store = Store(self.settings.store_root)
        self.version = self.parameters.get("store_version") or self.store.version()
        self.started_at = datetime.now(UTC)
        self._periods: pd.DataFrame | None = None
        # a run by hand has no page for a profile, and may stay open for days
        self._sampler = Sampler().start() if self.settings.profile and values.get("run_id") else None
        if not values.get("run_id"):
            # opened by hand: short numbers are easier to read
            pd.set_option("display.precision", 4)

    @property
    def source(self) -> str:
        """Where this run's rows come from."""
        return str(self.parameters.get("source", ""))

    @property
    def note(self) -> str:
        """What every figure says of its source."""
        return credit(self.source)

    @property
    def sharp(self) -> str:
        """The reference that was asked for, or else that of this source: a bookmaker, or "auto"."""
        return str(self.parameters.get("reference") or SHARP.get(self.source, ""))

    def reference(self, quotes: pd.DataFrame, results: pd.DataFrame, method: str = "power") -> "Reference":
        """The reference that was asked for; for "auto" that of each period, found from what was known before.

        What is known of a season may begin before it: earlier seasons of the store count where only some are
        asked for. The record of the run keeps the periods.

        Raises
        ------
        ParameterError
            A bookmaker that has no prices here.
        """
        from overround.forecasts.past_references import reference_periods
        from overround.prices.references import bookmakers_of, check_name

        if self.sharp != AUTO or quotes.empty:
            check_name(self.sharp, bookmakers_of(quotes))
            return self.sharp
        with self.stage("references") as stage:
            past, ended = quotes, results
            if self.parameters.get("seasons"):
                ended = self._read_past("results")
                past = self._read_past("quotes") if len(ended) > len(results) else quotes
            periods = reference_periods(past, ended, method)
            stage.count(rows=len(past))
        begun = int(periods.index.searchsorted(quotes["starts_at"].min(), side="right")) - 1
        self._periods = periods.iloc[max(begun, 0) :]
        return self._periods

    def leader(self, quotes: pd.DataFrame) -> str:
        """One bookmaker to compare others with: the reference, or the one of most periods, if it has prices.

        Otherwise the source's sharp bookmaker, or the one with the lowest margin.
        """
        from overround.prices.references import lowest_margin

        names = set(quotes["bookmaker"])
        usual = [] if self._periods is None else self._periods["reference"].value_counts().index.tolist()
        liked = (self.sharp, *usual, SHARP.get(self.source, ""))
        return next((name for name in liked if name in names), "") or lowest_margin(quotes)

    def weights(self, quotes: pd.DataFrame, results: pd.DataFrame, method: str) -> pd.DataFrame | None:
        """Weights of bookmakers by their past accuracy, if the reference needs them."""
        from overround.forecasts.accuracy_weights import past_accuracy_weights
        from overround.prices.references import BY_ACCURACY

        return (
            past_accuracy_weights(quotes, results, self.leader(quotes), method)
            if self.sharp == BY_ACCURACY
            else None
        )

    def stage(self, name: str, *, workers: int = 1) -> AbstractContextManager[Stage]:
        """Measure what happens inside, as `Meter.stage`."""
        return self.meter.stage(name, workers=workers)

    def read(self, name: str, columns: list[str] | None = None) -> pd.DataFrame:
        """Rows of a table for the parameters source, leagues and seasons, at this run's version.

        Raises
        ------
        StoreError
            Where there are none, with the command that collects them.
        """
        chosen = {
            "source": self.source,
            "competition": self.parameters.get("leagues"),
            "season": self.parameters.get("seasons"),
        }
        where = {
            column: value for column, value in chosen.items() if value and column in TABLES[name].columns
        }
        with self.stage(f"read {name}") as stage:
            rows = self.store.read(name, where, columns, version=self.version)
            stage.count(rows=len(rows))
        if rows.empty and name in ("events", "quotes"):
            what = ", ".join(f"{key} {value}" for key, value in chosen.items() if value)
            hint = f"collect them first: overround collect {self.source}"
            raise StoreError(f"the store {self.store.root} has no {name} of {what}; {hint}.")
        return rows

    def _read_past(self, name: str) -> pd.DataFrame:
        """Rows of all seasons of this run's source and leagues; of quotes what scores bookmakers."""
        wanted = {"source": self.source, "competition": self.parameters.get("leagues"), "market": "h2h"}
        where = {key: value for key, value in wanted.items() if value and key in TABLES[name].columns}
        return self.store.read(name, where, version=self.version)

    def finish(
        self,
        verdict: str,
        metrics: Mapping[str, float],
        *,
        ledger: pd.DataFrame | None = None,
        source: str | None = None,
    ) -> None:
        """Record the findings, in the tables `runs`, `measurements` and `ledgers` and in the notebook itself.

        Parameters
        ----------
        verdict : str
            The answer, in one sentence.
        metrics : mapping
            Figures of merit by name.
        ledger : DataFrame, optional
            Bets, so that this run can be compared with others.
        source : str, optional
            Where the rows came from, if no parameter says so.
        """
        from IPython.display import display

        if not verdict.strip():
            raise ParameterError("a run needs a verdict, a sentence that says what it found.")
        figures = {name: float(value) for name, value in metrics.items() if not pd.isna(value)}
        if self._sampler is not None:
            write(self._sampler.stop(), of_run(self.id, self.settings))
        self.meter.record(FOUND, **figures)
        if ledger is not None and len(ledger):
            self.store.append("ledgers", ledger.assign(run_id=self.id))
        self.store.append("measurements", self.meter.frame())
        self.store.append(
            "runs",
            [
                {
                    "run_id": self.id,
                    "notebook": self.notebook,
                    "parameters": json.dumps(self.parameters, sort_keys=True),
                    "git_revision": os.environ.get(REVISION) or git_revision(self.settings.home),
                    "versions": json.dumps(versions(), sort_keys=True),
                    "store_version": self.version,
                    "status": OK,
                    "started_at": self.started_at,
                    "ended_at": datetime.now(UTC),
                }
            ],
        )
        found = {
            "verdict": verdict,
            "metrics": figures,
            "source": self.source if source is None else source,
            "store_version": self.version,
        }
        found |= {"bankroll": bankroll_path(ledger), "cost": self._cost()}
        found |= {"references": [] if self._periods is None else _recorded(self._periods)}
        display(
            {
                RUN_MIME: found,
                "text/html": f"<p><strong>{escape(verdict)}</strong></p>",
                "text/plain": verdict,
            },
            raw=True,
        )

    def _cost(self) -> dict[str, float]:
        """Costs of this process so far; the wall time is measured from outside."""
        stages = self.meter.stages.values()
        peak = max((stage["peak_mb"] for stage in stages if "peak_mb" in stage), default=0.0)
        return {"cpu_s": round(process_time(), 3), "peak_mb": round(float(peak), 1)}


def _recorded(periods: pd.DataFrame) -> list[dict[str, Any]]:
    """References by period as JSON writes them: from, to (the last day, or null), reference, why ..."""
    from overround.prices.periods import reference_runs

    runs = reference_runs(periods)
    runs["to"] -= pd.Timedelta(days=1)
    days = {name: runs[name].dt.strftime("%Y-%m-%d") for name in ("from", "to")}
    rows: list[dict[str, Any]] = json.loads(runs.assign(**days).to_json(orient="records"))
    return rows


def bankroll_path(ledger: pd.DataFrame | None, most: int = 48) -> list[float]:
    """The bankroll at the start and after settlements, in order of time, at no more than `most` moments."""
    if ledger is None or ledger.empty:
        return []
    settled = ledger.sort_values("settled_at", kind="stable")
    path = np.append(bankroll_at_start(ledger), settled["bankroll"])
    path = path[~np.isnan(path)]
    return path[np.unique(np.linspace(0, len(path) - 1, most).round().astype(int))].round(2).tolist()
