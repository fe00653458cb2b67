"""Addresses of this machine: calls to them bypass any proxy, which could not reach them."""

import os
from ipaddress import ip_address
from urllib.parse import urlsplit


def on_loopback(url: str) -> bool:
    """Whether a URL's host is this machine: `localhost`, a name below it, or a loopback address."""
    host = (urlsplit(url).hostname or "").rstrip(".")
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def spare_from_proxy(url: str) -> None:
    """Add the host of `url` to `NO_PROXY` if it is this machine, for clients that read nothing else."""
    host = urlsplit(url).hostname
    exempt = os.environ.get("NO_PROXY") or os.environ.get("no_proxy", "")
    if host and on_loopback(url) and host not in exempt.split(","):
        os.environ["NO_PROXY"] = f"{exempt},{host}".lstrip(",")
