"""The sources by name. A new source is one module and one line in `SOURCES`."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib import import_module

from overround.errors import ParameterError
from overround.schema import AUTO
from overround.settings import Settings
from overround.sources.base import Connection, Selection


@dataclass(frozen=True)
class Source:
    """What is declared of a source.

    Parameters
    ----------
    module : str
        Under `overround.sources`; its context manager `open_source(settings, selection)` yields a
        `Connection` whose jobs are named and checked.
    sharp : str
        The bookmaker whose prices the others follow, or "auto": who that is, is found from the past, a period
        at a time (`forecasts.reference_periods`).
    credit : str
        How figures and tables name the source.
    past : str
        A module like `module` that sells past odds at given times; empty where there are none to buy.

    Examples
    --------
    >>> import overround as ov
    >>> isinstance(ov.sources.SOURCES["sample"], ov.sources.Source), ov.sources.SOURCES["sample"].sharp
    (True, 'sim_sharp')
    """

    module: str
    sharp: str
    credit: str
    past: str = ""


# name of each source -> its declaration
SOURCES = {
    "sample": Source(
        "sample.source", "sim_sharp", "Simulated market: teams, bookmakers and prices are invented"
    ),
    "football-data": Source("football_data.source", AUTO, "Source: football-data.co.uk"),
    "the-odds-api": Source("the_odds_api.client", AUTO, "Source: The Odds API", past="the_odds_api.history"),
}
# name of each source -> what its prices are compared with by default
SHARP = {name: source.sharp for name, source in SOURCES.items()}
# name of each source -> how figures and tables name it
CREDITS = {name: source.credit for name, source in SOURCES.items()}
SIMULATED = "sample"


def find_source(name: str) -> Source:
    """The declaration of a source.

    Raises
    ------
    ParameterError
        The name is not in `SOURCES`.
    """
    if name not in SOURCES:
        raise ParameterError(f"source {name!r} is unknown; the sources are {', '.join(SOURCES)}.")
    return SOURCES[name]


def open_source(name: str, settings: Settings, selection: Selection) -> AbstractContextManager[Connection]:
    """Open a source for the selected leagues and seasons, or for past odds.

    Raises
    ------
    ParameterError, SettingsError
        The source is unknown, or it cannot offer the selection; nothing has been fetched.
    """
    source = find_source(name)
    if selection.history is not None and not source.past:
        sellers = ", ".join(name for name, one in SOURCES.items() if one.past)
        raise ParameterError(f"{name} has no past odds to buy from one time to another; {sellers} has.")
    module = import_module(f"overround.sources.{source.module if selection.history is None else source.past}")
    opened: AbstractContextManager[Connection] = module.open_source(settings, selection)
    return opened


def credit(source: str) -> str:
    """Name one or several sources (joined by a plus) as a figure or a page shows them.

    Examples
    --------
    >>> import overround as ov
    >>> ov.sources.credit("sample")
    'Simulated market: teams, bookmakers and prices are invented'
    """
    return "; ".join(CREDITS.get(name, name) for name in source.split("+") if name)
