"""Which addresses are this machine's own: calls to them never go through a proxy, which could not reach them."""

import os
from ipaddress import ip_address
from urllib.parse import urlsplit


def on_loopback(url: str) -> bool:
    """Whether a URL's host is this machine itself: `localhost`, a name below it, or an address of the loopback range."""
    host = (urlsplit(url).hostname or "").rstrip(".")
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def spare_from_proxy(url: str) -> None:
    """Exempt the host of `url` from the environment's proxies, for clients that read only `NO_PROXY`, where it is this machine."""
    host = urlsplit(url).hostname
    exempt = os.environ.get("NO_PROXY") or os.environ.get("no_proxy", "")
    if host and on_loopback(url) and host not in exempt.split(","):
        os.environ["NO_PROXY"] = f"{exempt},{host}".lstrip(",")
