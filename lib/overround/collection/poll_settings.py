"""How a poller polls: how often, until when, and for whose prices."""

from dataclasses import dataclass, field
from datetime import datetime

from overround.errors import ParameterError
from overround.sources.the_odds_api.client import Offer


@dataclass(frozen=True)
class PollSettings:
    """Settings of `poll`.

    Parameters
    ----------
    every_s : float
        Seconds from poll to poll. After an error the sport concerned waits longer, up to a quarter of an
        hour. Where the quota does not pay for so many polls until the end of the month, they are spaced
        wider, least near kick-offs.
    until, polls : optional
        When to end (with a time zone), or after how many polls; by default never.
    ttl : float, optional
        Seconds for which a cached answer counts as current; by default the setting `live_ttl`, so that all
        users of the cache share their calls.
    offer : Offer
        Regions, markets and bookmakers to ask for, and the odds format; stored prices are always decimal.

    Raises
    ------
    ParameterError
        An interval, a number of polls or an end that cannot be used.

    Examples
    --------
    >>> import overround as ov
    >>> ov.collection.PollSettings(every_s=60).offer.markets
    'h2h,totals,spreads'
    """

    every_s: float = 30.0
    until: datetime | None = None
    polls: int | None = None
    ttl: float | None = None
    offer: Offer = field(default_factory=Offer)

    def __post_init__(self) -> None:
        if not self.every_s > 0:
            raise ParameterError(f"an interval of {self.every_s} s cannot be kept; it is above 0, e.g. 30.")
        if self.polls is not None and self.polls < 1:
            raise ParameterError(f"{self.polls} polls cannot be made; there is at least 1.")
        if self.until is not None and self.until.tzinfo is None:
            raise ParameterError(
                f"until is {self.until}, without a time zone; "
                "such as datetime.now(UTC) + timedelta(hours=12) is meant."
            )
