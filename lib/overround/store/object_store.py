"""Options of delta-rs for an object store, and words for its errors, there or in a folder.

Endpoint, region and keys are the usual `AWS_*` environment variables. delta-rs reads them itself; they are
looked at here only to keep keys out of messages.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import pyarrow as pa

from overround.errors import StoreError
from overround.http.loopback import spare_from_proxy

SCHEMES = ("s3", "s3a")
_SECRETS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
_ENDPOINTS = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT")
_UNSAFE = ("AWS_S3_ALLOW_UNSAFE_RENAME", "S3_ALLOW_UNSAFE_RENAME")
_REASONS = (
    (r"Read-only file system", "the file system is read-only"),
    (
        r"Unable to rename file[\s\S]*os error (1|22|38|95)\b",
        "the file system has no hard links, which a commit needs; use a local disk or an object store",
    ),
    (r"NoSuchBucket", "the bucket does not exist"),
    (
        r"InvalidAccessKeyId|SignatureDoesNotMatch|AccessDenied|InvalidToken|ExpiredToken|\b40[13] |"
        r"169\.254\.169\.254",
        "access was denied; the keys are read from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    ),
    (r"scheme is not allowed", "an endpoint without https needs AWS_ALLOW_HTTP=true"),
    (r"\bregion\b.*(missing|not found)|Missing region", "no region is set; AWS_REGION names it"),
    (
        r"error sending request|timed? ?out|retry_timeout|max_retries|onnection (refused|reset|closed)|"
        r"error decoding response body",
        "the object store did not answer; OVERROUND_STORE_TIMEOUT says how long it is waited for",
    ),
)


def options(root: str, timeout_s: float) -> dict[str, str]:
    """Options of delta-rs for an object store: no keys, only how to commit and how long to wait.

    A commit creates the next entry of the log only if it does not exist yet (`If-None-Match: *`): of two
    writers one is refused, so no lock is needed. One request is given up after at most twice `timeout_s`.

    Raises
    ------
    StoreError
        For a URL without a bucket or with keys in it, or an environment that lets commits overwrite one
        another.
    """
    if root.partition("://")[0] not in SCHEMES or not root.partition("://")[2].strip("/"):
        raise StoreError(
            f"store {root!r}: a folder, or a bucket with one of "
            f"{', '.join(f'{scheme}://' for scheme in SCHEMES)}, is expected."
        )
    if "@" in urlsplit(root).netloc:
        raise StoreError(
            f"store {urlsplit(root).scheme}://...: keys do not belong in the URL; "
            "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
        )
    unsafe = next(
        (name for name in _UNSAFE if os.environ.get(name, "").lower() in ("1", "true", "yes")), None
    )
    if unsafe:
        raise StoreError(
            f"store {root}: {unsafe} is set, with which two writers overwrite each other's commits; unset it."
        )
    for name in _ENDPOINTS:
        spare_from_proxy(os.environ.get(name, ""))
    return {
        "aws_conditional_put": "etag",
        "timeout": f"{timeout_s}s",
        "connect_timeout": f"{min(timeout_s, 5)}s",
        "retry_timeout": f"{timeout_s}s",
        "max_retries": "10",
        "backoff_config.init_backoff": "100ms",
        "backoff_config.max_backoff": "2s",
    }


def reason(error: BaseException) -> str | None:
    """Why an object store refused or failed, where that is known."""
    text = str(error)
    return next((words for pattern, words in _REASONS if re.search(pattern, text)), None)


def without_keys(text: str) -> str:
    """Text without the keys of the environment and without a server's XML, which repeats them."""
    for name in _SECRETS:
        if os.environ.get(name):
            text = text.replace(os.environ[name], "***")
    return re.sub(r"<\?xml.*", "", text, flags=re.DOTALL)


def short(error: Exception) -> str:
    """The reason of an error where it is known, else its first line: delta-rs appends its stack."""
    known = reason(error)
    if known:
        return known
    # of a folder, the first line of delta-rs only says that; the cause is in those after it
    lines = [re.sub(r"\x1b\[\d+m|↳", "", line).strip() for line in str(error).splitlines()]
    said = (
        ": ".join(filter(None, lines))
        if lines[:1] == ["Generic LocalFileSystem error"]
        else "".join(lines[:1])
    )
    return without_keys(said) or type(error).__name__


@contextmanager
def explained(root: str, what: str) -> Iterator[None]:
    """Raise what a disk or an object store refuses inside the block as a StoreError."""
    from deltalake.exceptions import DeltaError

    try:
        yield
    except (DeltaError, OSError, pa.ArrowException) as error:
        raise StoreError(f"store {root}: {what} could not be finished ({short(error)}).") from None


def hint(error: Exception) -> str:
    """Advice for an error that is not an object store's."""
    return "" if reason(error) else " `overround store check` looks for damage."
