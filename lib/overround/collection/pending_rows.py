"""Rows that a poller holds until the store has taken them: a full disk delays them and loses none."""

import pandas as pd

from overround.collection.collector import APPEND
from overround.collection.polled import Polled, note
from overround.collection.stored_prices import with_last_asked
from overround.errors import StoreError
from overround.measure.meter import Meter
from overround.schema import COLLECTED
from overround.sources.base import Batch
from overround.store.store import Store

_MOST_PENDING = 1_000_000  # rows


class PendingRows:
    """Rows of batches on their way to the store.

    Attributes
    ----------
    others_wrote : bool
        Whether another process has stored quotes since this was last reset.
    """

    def __init__(self, store: Store, state: Polled):
        self._store, self._state = store, state
        self._pending: dict[str, list[pd.DataFrame]] = {name: [] for name in COLLECTED}
        # unknown until the first append
        self._version, self.others_wrote = -1, False

    def __len__(self) -> int:
        return sum(len(rows) for frames in self._pending.values() for rows in frames)

    def add(self, batch: Batch) -> None:
        """Hold the rows of a batch."""
        for name, rows in batch.tables.items():
            if len(rows):
                self._pending[name].append(rows)
        if len(batch.set_aside):
            last = batch.set_aside.iloc[-1]
            self._state.set_aside += len(batch.set_aside)
            self._state.last_set_aside = f"{last['column']}: {last['reason']}"

    def write(self, meter: Meter) -> None:
        """Append all rows, in the order of a batch's tables."""
        for name, frames in self._pending.items():
            if not frames:
                continue
            rows = pd.concat(frames, ignore_index=True) if len(frames) > 1 else frames[0]
            try:
                self._append(name, rows, meter)
            except (StoreError, OSError) as error:
                self._hold(name, rows)
                note(self._state, str(error))
                break
            frames.clear()

    def look(self) -> None:
        """See whether another process has stored quotes, also where there was nothing to append."""
        quotes = self._store.catalog.open("quotes")
        if quotes is not None and quotes.version() != self._version:
            self.others_wrote, self._version = True, quotes.version()

    def _append(self, name: str, rows: pd.DataFrame, meter: Meter) -> None:
        with meter.stage(APPEND) as stage:
            if name == "events":
                rows = with_last_asked(self._store, rows)
            done = self._store.append(name, rows, changes_only=name == "quotes")
            stage.count(rows=done.inserted + done.updated)
        self._state.inserted[name] += done.inserted
        if name == "quotes":
            own = self._version + bool(done.inserted + done.updated)
            self.others_wrote |= done.version != own
            self._version = done.version

    def _hold(self, name: str, rows: pd.DataFrame) -> None:
        if len(rows) > _MOST_PENDING:
            note(
                self._state,
                f"{len(rows) - _MOST_PENDING:,} rows of {name} are given up, "
                "the oldest of too many that wait for the store",
            )
            rows = rows.tail(_MOST_PENDING)
        self._pending[name] = [rows]
