"""What may be shown of a URL: everything but the keys. Never decides what is sent."""

import logging
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

# Names, in lower case and without - and _, under which providers take a key. Whole names only: a parameter
# left out here is also left out of the cache's keys, and two sports (`sport_key`) must not share an answer.
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
    """Whether a query parameter or header of this name carries a key, by the names providers use."""
    return name.lower().replace("-", "").replace("_", "") in _SECRET_NAMES


def redact(url: str, params: Mapping[str, Any] | None = None) -> str:
    """Return the URL with its parameters; those that carry a secret, and a user's name and password, are left out."""
    parts = urlsplit(url)
    asked = [*parse_qsl(parts.query, keep_blank_values=True), *(params or {}).items()]
    query = [(name, value) for name, value in asked if not is_secret(name)]
    return urlunsplit(
        parts._replace(netloc=parts.netloc.rpartition("@")[2], query=urlencode(query, safe=":,/"))
    )


def redact_debug_logs() -> None:
    """Keep keys out of the debug lines of the libraries below, which quote whole URLs."""
    # a filter acts only on the logger that a line was written to, not on that logger's children: each gets
    # one
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
