"""URLs and log lines without keys, fit to be shown. Never changes what is sent."""

import logging
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

# Names under which providers take a key, in lower case without - and _. Only whole names match: redacted
# parameters are left out of the cache's keys too, and two sports (`sport_key`) must not share an answer.
_SECRET_NAMES = {
    "accesskey",
    "accesstoken",
    "apikey",
    "apisecret",
    "apitoken",
    "appkey",
    "authorization",
    "authtoken",
    "clientsecret",
    "key",
    "ocpapimsubscriptionkey",
    "password",
    "proxyauthorization",
    "secret",
    "sessiontoken",
    "subscriptionkey",
    "token",
    "xaccesstoken",
    "xapikey",
    "xapisportskey",
    "xapitoken",
    "xapplication",
    "xauthentication",
    "xauthtoken",
    "xrapidapikey",
}
_PARAMETER = re.compile(r"""[?&]([\w.-]+)=[^&\s"']*""")


def is_secret(name: str) -> bool:
    """Whether a query parameter or header of this name carries a key."""
    return name.lower().replace("-", "").replace("_", "") in _SECRET_NAMES


def redact(url: str, params: Mapping[str, Any] | None = None) -> str:
    """The URL with its parameters, without those that carry a secret and without user name and password."""
    parts = urlsplit(url)
    asked = [*parse_qsl(parts.query, keep_blank_values=True), *(params or {}).items()]
    query = [(name, value) for name, value in asked if not is_secret(name)]
    return urlunsplit(
        parts._replace(netloc=parts.netloc.rpartition("@")[2], query=urlencode(query, safe=":,/"))
    )


def redact_debug_logs() -> None:
    """Keep keys out of the debug lines of urllib3, requests and requests-cache, which quote whole URLs."""
    # a filter acts only on lines written to its own logger, not on those of child loggers
    for name in list(logging.root.manager.loggerDict):
        if name.partition(".")[0] in ("urllib3", "requests", "requests_cache"):
            logger = logging.getLogger(name)
            if not any(isinstance(one, _RedactFilter) for one in logger.filters):
                logger.addFilter(_RedactFilter())


class _RedactFilter(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = (
            _PARAMETER.sub(lambda found: "" if is_secret(found[1]) else found[0], record.getMessage()),
            (),
        )
        return True
