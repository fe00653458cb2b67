"""Give the matches of a new file the ids of the stored ones, and take back what the file no longer says.

A match's id is made from its text at first sight only; afterwards the id belongs to the match, and the newest
file corrects its name, date and score under it. Nothing here fetches or stores.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime

import numpy as np
import pandas as pd

from overround.collection.corrections import dated, named, plain, scored, timed
from overround.collection.pairing import PRICE_OF, Pairs, pair, repeated, turned
from overround.schema import EVENT_STATUS, HIDDEN, TABLES
from overround.sources.base import Batch, Scope, event_id
from overround.store.store import Store

# a file in which more matches than both find no pair is not believed: nothing is retracted
_FEW, _SHARE = 3, 0.02
# in `editions`, in place of a season: the list of coming matches, of whatever season
_PROVISIONAL = "coming matches"


@dataclass
class Reconciled:
    """A batch under the ids of the stored matches, and what changed in them.

    Attributes
    ----------
    batch : Batch
        What to store.
    corrections : list of tuple
        Rows of `CORRECTION_COLUMNS`.
    notes : list of str
        Sentences about what the file was not believed in.
    aliases, editions : DataFrame
        Rows of these tables.
    """

    batch: Batch
    corrections: list[tuple] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    aliases: pd.DataFrame = field(default_factory=pd.DataFrame)
    editions: pd.DataFrame = field(default_factory=pd.DataFrame)

    @property
    def is_new(self) -> bool:
        """Whether the file was not taken before, as one that comes from the cache again was."""
        scope = self.batch.scope
        return scope is not None and (len(self.editions) > 0 or not scope.is_complete)


@dataclass
class _Known:
    """What is stored of a competition by one source; `names` maps the names of teams to newer ones."""

    events: pd.DataFrame
    results: pd.DataFrame
    editions: dict[str, datetime]
    names: dict[str, str] | None = None  # read when they are needed


class Identities:
    """The stored matches of the competitions that a collection comes by, each read once."""

    def __init__(self, store: Store):
        self._store = store
        self._known: dict[tuple[str, str], _Known] = {}

    def forget(self) -> None:
        """Read the store anew: what was reconciled has not been stored."""
        self._known.clear()

    def reconcile(self, batch: Batch) -> Reconciled:
        """Pair the matches of a batch with the stored ones; batches without a scope are left as they are."""
        if batch.scope is None or batch.events.empty:
            return Reconciled(batch)
        source = str(batch.events["source"].iloc[0])
        known = self._of(source, batch.scope.competition)
        done = Reconciled(batch)
        _leave_out_older(done, known)
        if len(done.batch.events):
            done.editions = _new_editions(source, done.batch, known)
            if batch.provisional or not _is_known(done.batch, known):
                if known.names is None:
                    of = {"kind": "team", "source": source, "competition": batch.scope.competition}
                    aliases = self._store.read("aliases", of)
                    known.names = dict(zip(aliases["name"], aliases["means"], strict=True))
                _File(self._store, source, done, known).reconcile()
        return done

    def _of(self, source: str, competition: str) -> _Known:
        if (source, competition) not in self._known:
            here, of = {"competition": competition}, {"source": source, "competition": competition}
            # by their status, which also gives hidden events; version 0.1 stored none
            events = plain(self._store.read("events", {**of, "status": [*EVENT_STATUS, None]}))
            columns = TABLES["results"].columns
            ids = events["event_id"].tolist()
            # by their ids, which also gives those of hidden events
            which = {**here, "event_id": ids} if ids else here
            results = plain(self._store.read("results", which, columns))
            editions = self._store.read("editions", of)
            self._known[source, competition] = _Known(
                events.set_index("event_id", drop=False),
                results.set_index("event_id", drop=False),
                dict(zip(editions["season"].astype("str"), editions["fetched_at"], strict=True)),
            )
        return self._known[source, competition]


def _is_known(batch: Batch, known: _Known) -> bool:
    """Whether a file says of its seasons what is stored, as most files do most of the time."""
    assert batch.scope is not None  # noqa: S101  # the caller looked
    stored = known.events[~known.events["status"].isin(HIDDEN)]
    if batch.scope.seasons:
        stored = stored[stored["season"].isin(batch.scope.seasons)]
    if len(stored) != len(batch.events):
        return False
    for rows, before, names in (
        (batch.events, stored, ("starts_at", "time_known", "home", "away", "season", "status")),
        (batch.results, known.results, ("home_score", "away_score", "status", "season")),
    ):
        before = before.reindex(rows["event_id"]).set_axis(rows.index)
        for name in names:
            other = rows[name] != before[name]
            if other.any() and not (rows[name].isna() & before[name].isna())[other].all():
                return False
    return True


def _new_editions(source: str, batch: Batch, known: _Known) -> pd.DataFrame:
    """The rows of `editions` for a complete file; a part of one is no edition."""
    scope, rows = batch.scope, []
    if scope is not None and scope.is_complete:
        seasons = batch.events["season"].value_counts().to_dict()
        for season, matches in ({_PROVISIONAL: len(batch.events)} if batch.provisional else seasons).items():
            if known.editions.get(season) != scope.fetched_at:
                rows.append((source, scope.competition, season, scope.fetched_at, matches))
                known.editions[season] = scope.fetched_at
    return pd.DataFrame(rows, columns=list(TABLES["editions"].columns))


def _leave_out_older(done: Reconciled, known: _Known) -> None:
    """Take nothing of seasons of which a newer file is stored."""
    batch, scope = done.batch, done.batch.scope
    assert scope is not None  # noqa: S101  # the caller looked
    older = {season: at for season, at in known.editions.items() if at > scope.fetched_at}
    given = [_PROVISIONAL] if batch.provisional else batch.events["season"].unique()
    older = {season: older[season] for season in given if season in older}
    if not older:
        return
    left_out = batch.events["season"].unique() if batch.provisional else list(older)
    kept = {name: rows[~rows["season"].isin(left_out)] for name, rows in batch.tables.items()}
    done.batch = replace(batch, **{name: rows.reset_index(drop=True) for name, rows in kept.items()})
    done.notes.append(
        f"{scope.where} was fetched at {scope.fetched_at:%Y-%m-%d %H:%M} UTC, before the file of "
        f"{max(older.values()):%Y-%m-%d %H:%M} UTC that is stored: nothing is taken of {_listed(older)}"
    )


class _File:
    """One file on its way into the store: its matches beside the stored ones, by place."""

    def __init__(self, store: Store, source: str, done: Reconciled, known: _Known):
        assert done.batch.scope is not None  # noqa: S101  # the caller looked
        self.store, self.source, self.done, self.known = store, source, done, known
        self.batch: Batch = done.batch
        self.scope: Scope = done.batch.scope
        self.names = known.names = known.names or {}
        self.found = _matches(self.batch.events, self.batch.results, self.scope)
        self.stored = _matches(known.events, known.results, self.scope)
        # stored match of each match of the file that has one; whether its sides are the other way round
        self.partner = self.stored.head(0)
        self.swapped = np.zeros(len(self.found), bool)

    def reconcile(self) -> None:
        active = self.stored[~self.stored["status"].isin(HIDDEN)]
        pairs = pair(self.found, active, self.names, self._prices)
        names = self.names | pairs.renamed
        left = self.found[~self.found.index.isin(pairs.stored)]
        back = pair(left, self.stored[self.stored["status"] == "retracted"], names, self._prices)
        both = pairs.stored | back.stored
        self.partner = self.stored.loc[list(both.values())].set_axis(list(both))
        self.swapped = self.found.index.isin(pairs.swapped | back.swapped)
        self._relabel()
        if self.batch.provisional:
            self._leave_out_played()
        self._note_corrections()
        if not self.batch.provisional:
            # what came from elsewhere, as from a list of coming matches, is not for this file to take back
            ours = active[active["is_said"]]
            if self.scope.seasons:
                ours = ours[ours["season"].isin(self.scope.seasons)]
            gone = ours[~ours.index.isin(pairs.stored.values())]
            same, renamed = repeated(self.found, gone, names, self._prices)
            pairs.renamed |= renamed
            self._take_back(gone, same, len(ours))
        self._remember(pairs)
        self.done.batch = self.batch

    def _prices(self, asked: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Quotes of candidate pairs, with the places of their matches."""
        wanted = ["event_id", *PRICE_OF, "price"]
        new, old = (
            matches.loc[asked[column].unique(), "event_id"]
            for column, matches in (("found", self.found), ("stored", self.stored))
        )
        quotes = self.batch.quotes.loc[self.batch.quotes["event_id"].isin(new), wanted]
        before = quotes.head(0)
        if len(old):
            of = {"event_id": old.tolist(), "competition": self.scope.competition, "source": self.source}
            before = plain(self.store.read("quotes", of, wanted))
        return tuple(
            rows.assign(place=rows["event_id"].map(dict(zip(ids, ids.index, strict=True))).astype("int64"))
            for rows, ids in ((quotes, new), (before, old))
        )

    def _relabel(self) -> None:
        """Put the rows of the batch under the stored ids, seasons and sides."""
        given, ids = self.found["event_id"], self._ids()
        # an event stays in its season, unless that was guessed before there was a file of it
        said = self.partner.loc[self.partner["is_said"].astype(bool), "season"]
        seasons = said.reindex(given.index).fillna(self.found["season"])
        if not self.swapped.any() and ids.equals(given) and seasons.equals(self.found["season"]):
            return
        place_of = dict(zip(given, given.index, strict=True))
        tables = {}
        for name, rows in self.batch.tables.items():
            place = rows["event_id"].map(place_of)
            swapped = pd.Series(self.swapped[place], rows.index)
            rows = rows.assign(event_id=ids[place].array, season=seasons[place].array)
            if name == "quotes":
                tables[name] = turned(rows, swapped).astype(rows.dtypes)
            else:
                sides = ["home", "away"] if name == "events" else ["home_score", "away_score"]
                other = rows[sides[::-1]].set_axis(sides, axis=1)
                tables[name] = rows.assign(**{side: rows[side].mask(swapped, other[side]) for side in sides})
        self.batch = replace(self.batch, **tables)

    def _ids(self) -> pd.Series:
        """Id of each match of the file: the stored one, or one of its text that no other match has."""
        ids = self.partner["event_id"].reindex(self.found.index)
        taken = {*self.known.events.index}
        for place in ids.index[ids.isna()]:
            match = self.found.loc[place]
            ids[place], n = match["event_id"], 1
            while ids[place] in taken:  # it belongs to a match that has another name or date by now
                n += 1
                date = f"{match['day']:%Y-%m-%d} {n}"
                ids[place] = event_id(self.source, self.scope.competition, date, match["home"], match["away"])
        return ids

    def _leave_out_played(self) -> None:
        """Of the matches that a season's file has, a list of coming ones says nothing any more."""
        played = self.partner[self.partner["is_said"].astype(bool)]
        self.partner = self.partner.drop(index=played.index)
        tables = {
            name: rows[~rows["event_id"].isin(played["event_id"])] for name, rows in self.batch.tables.items()
        }
        self.batch = replace(self.batch, **tables)

    def _note_corrections(self) -> None:
        old, place = self.partner, self.partner.index
        new = _matches(self.batch.events, self.batch.results, self.scope)
        new = new.set_axis(self.batch.events.index).loc[place]
        had, has = old["home_score"].notna(), new["home_score"].notna()
        other = (new["home_score"] != old["home_score"]) | (new["away_score"] != old["away_score"])
        for what, changed, text in (
            ("returned", old["status"] == "retracted", named),
            ("team", (new["home"] != old["home"]) | (new["away"] != old["away"]), named),
            ("date", new["day"] != old["day"], dated),
            ("kick-off", (new["starts_at"] != old["starts_at"]) & (new["day"] == old["day"]), timed),
            ("sides", pd.Series(self.swapped[place], place), named),
            ("score", had & has & other, scored),
        ):
            self._note(what, old[changed], text(old[changed]), text(new[changed]))
        lost = had & ~has
        blank = lost & (new["status"] == "scheduled")
        if blank.sum() > max(_FEW, _SHARE * had.sum()):
            self.done.notes.append(
                f"{self.scope.where} has no score for {blank.sum():,} of {had.sum():,} matches that had one: "
                "theirs are kept"
            )
            self._keep_scores(old[blank])
            lost &= ~blank
        self._note("score gone", old[lost], scored(old[lost]), new.loc[lost, "status"])

    def _keep_scores(self, old: pd.DataFrame) -> None:
        results, events = self.batch.results.copy(), self.batch.events.copy()
        stored = self.known.results.loc[old["event_id"]]
        row = pd.Series(results.index, results["event_id"].array)[old["event_id"]]
        for column in ("home_score", "away_score", "status", "settled_at"):
            results.loc[row, column] = stored[column].array
        events.loc[events["event_id"].isin(old["event_id"]), "status"] = "played"
        self.batch = replace(self.batch, results=results, events=events)

    def _take_back(self, gone: pd.DataFrame, same: dict[int, tuple[int, bool]], n_stored: int) -> None:
        """Retire the stored matches that are another one of the file, and retract what it does not have."""
        rows, now = self.known.events.loc[gone["event_id"]], self.batch.events.loc[self.found.index]
        retired = rows.loc[gone["event_id"].isin(gone.loc[list(same), "event_id"]).to_numpy()].copy()
        for old, (place, swapped) in same.items():
            name, on = gone["event_id"][old], now.loc[place]
            sides = [on["home"], on["away"]][:: -1 if swapped != self.swapped[place] else 1]
            retired.loc[name, ["status", "same_as", "home", "away"]] = ["retired", on["event_id"], *sides]
        self._note("united", gone.loc[list(same)], named(gone.loc[list(same)]), retired["same_as"])
        rest = gone.drop(index=list(same))
        doubted = len(rest) > max(_FEW, _SHARE * n_stored)
        if len(rest) and (doubted or not self.scope.is_complete):
            why = "so many are not believed" if doubted else "the file is cut off"
            self.done.notes.append(
                f"{self.scope.where} does not have {len(rest):,} of {n_stored:,} stored matches: "
                f"{why}, none is retracted"
            )
            rest = rest.head(0)
        self._note("retracted", rest, named(rest), pd.Series("", rest.index))
        retracted = rows.loc[rest["event_id"]].assign(status="retracted")
        if len(retired) or len(retracted):
            events = pd.concat([self.batch.events, retired, retracted], ignore_index=True)
            quotes = pd.concat([self.batch.quotes, self._prices_of(retired)], ignore_index=True)
            self.batch = replace(self.batch, events=events[now.columns], quotes=quotes)

    def _prices_of(self, retired: pd.DataFrame) -> pd.DataFrame:
        """Prices that are stored only under retired ids, under those that go on."""
        if retired.empty:
            return self.batch.quotes.head(0)
        here = {"competition": self.scope.competition}
        ids, on = retired["event_id"].tolist(), retired["same_as"]
        old, new = (
            plain(self.store.read("quotes", {**here, "event_id": names})) for names in (ids, list(on))
        )
        sides = self.known.events.reindex(on)[["home", "away"]]
        now = self.batch.events.set_index("event_id").loc[on, "home"].array
        assert len(sides) == len(now)  # noqa: S101
        swapped = pd.Series(retired["home"].to_numpy() != now, retired.index)
        old = turned(old, old["event_id"].map(swapped)).astype(old.dtypes)
        old["event_id"] = old["event_id"].map(on)
        known = pd.concat([new, self.batch.quotes])[list(TABLES["quotes"].key)].drop_duplicates()
        only = old.merge(known, how="left", indicator="where", on=list(TABLES["quotes"].key))
        return only.loc[only["where"] == "left_only", self.batch.quotes.columns]

    def _note(self, what: str, matches: pd.DataFrame, before: pd.Series, after: pd.Series) -> None:
        rows = zip(matches["event_id"], before, after, strict=True)
        self.done.corrections += [(what, *row, self.scope.where) for row in rows]

    def _remember(self, pairs: Pairs) -> None:
        """What the next file, and the next collection, have to know."""
        known, scope, of = self.known, self.scope, (self.source, self.scope.competition)
        renamed = [("team", *of, *names, scope.fetched_at) for names in pairs.renamed.items()]
        self.done.aliases = pd.DataFrame(renamed, columns=list(TABLES["aliases"].columns))
        self.names |= pairs.renamed
        for name in ("events", "results"):
            rows = self.batch.tables[name].set_index("event_id", drop=False)
            before = getattr(known, name)
            setattr(known, name, pd.concat([before[~before.index.isin(rows.index)], rows]))


def _matches(events: pd.DataFrame, results: pd.DataFrame, scope: Scope) -> pd.DataFrame:
    """A row a match, by place: what `pairing` takes, and starts_at, status, is_said (has a result row)."""
    local = events["starts_at"].dt.tz_convert(scope.zone).where(events["time_known"].astype(bool))
    day = local.dt.tz_localize(None).fillna(events["starts_at"].dt.tz_localize(None)).dt.normalize()
    ended = results.set_index("event_id", drop=False).reindex(events["event_id"])
    columns = {
        name: events[name].array for name in ("event_id", "season", "starts_at", "home", "away", "status")
    }
    scores = {name: ended[name].astype("float64").array for name in ("home_score", "away_score")}
    return pd.DataFrame({**columns, **scores, "day": day.array, "is_said": ended["status"].notna().array})


def _listed(seasons: Iterable[str]) -> str:
    return ", ".join(sorted(seasons))
