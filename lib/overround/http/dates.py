"""When an answer was given: by the header Date where that can be true, else by this machine's clock.

Prices are placed in time by it, so a wrong clock of a provider or of a proxy must not move them: an answer
was not given before it was asked for, nor after it arrived.
"""

from collections.abc import MutableMapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime

from overround.http.loopback import on_loopback

# a server of this machine that plays recorded answers back says so by this header
RECORDED = "X-Recorded"
# by how much two clocks that are set may differ; Date has whole seconds
_SLACK = timedelta(seconds=5)
# a server of this machine that is off by more plays recorded or simulated answers back, too
_LONGEST_ERROR = timedelta(days=7)


def read_date(text: str | None) -> datetime | None:
    """The time of a header Date in UTC; None where it is missing or no time."""
    with suppress(ValueError, TypeError, OverflowError):
        at = parsedate_to_datetime(text or "")
        return at.replace(tzinfo=at.tzinfo or UTC).astimezone(UTC)
    return None


def correct_date(headers: MutableMapping[str, str], url: str, asked: datetime, arrived: datetime) -> None:
    """Replace a header Date that cannot be true by the time of arrival.

    Parameters
    ----------
    headers : mutable mapping
        Of the answer, by names in any case.
    url : str
        What was asked; servers on this machine may live in another time.
    asked, arrived : datetime
        When the call was sent and its answer was complete, by this machine's clock.
    """
    said = read_date(headers.get("Date"))
    if said is None or asked - _SLACK <= said <= arrived:
        return
    if on_loopback(url) and (
        headers.get(RECORDED) or not -_LONGEST_ERROR <= said - arrived <= _LONGEST_ERROR
    ):
        return
    headers["Date"] = format_datetime(arrived, usegmt=True)
