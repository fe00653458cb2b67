"""Bodies as they were before a server compressed them for the way; a compressed body has to be whole."""

import zlib

from requests.exceptions import ContentDecodingError

ENCODINGS = "gzip, deflate"  # what is asked for
_GZIP, _ZLIB, _RAW = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS, -zlib.MAX_WBITS
_GZIP_BEGIN = b"\x1f\x8b"


def decoded(body: bytes, encoding: str, most: int) -> bytes:
    """Undo the header Content-Encoding; the result stops soon after `most` bytes.

    Parameters
    ----------
    body : bytes
        As received.
    encoding : str
        The header: names joined by commas, in the order in which they were applied.
    most : int
        Bytes after which no more is decompressed, so that a small body cannot fill the memory.

    Raises
    ------
    ContentDecodingError
        The body is cut off or garbled, or in an encoding that was not asked for.
    """
    for name in reversed([name.strip().lower() for name in encoding.split(",")]):
        if not body or name in ("", "identity"):
            continue
        if name not in ("gzip", "x-gzip", "deflate"):
            raise ContentDecodingError(f"it is encoded as {name[:40]!r}; {ENCODINGS} were asked for")
        try:
            body = _deflated(body, most) if name == "deflate" else _gunzipped(body, most)
        except zlib.error:
            raise ContentDecodingError(f"it cannot be decoded as {name}") from None
    return body


def _gunzipped(body: bytes, most: int) -> bytes:
    """All members; what follows the last one (padding) is ignored, as other clients do."""
    members = bytearray()
    while True:
        member, body = _inflated(body, _GZIP, most + 1 - len(members))
        members += member
        if len(members) > most or not body.startswith(_GZIP_BEGIN):
            break
    return bytes(members)


def _deflated(body: bytes, most: int) -> bytes:
    # named for the zlib format, though some servers send the bare stream (RFC 9110, 8.4.1.2)
    is_zlib = body[0] & 15 == 8 and int.from_bytes(body[:2], "big") % 31 == 0
    return _inflated(body, _ZLIB if is_zlib else _RAW, most + 1)[0]


def _inflated(body: bytes, kind: int, most: int) -> tuple[bytes, bytes]:
    """One stream, checked to its end, and what follows it."""
    stream = zlib.decompressobj(kind)
    found = stream.decompress(body, most)
    if not stream.eof and len(found) < most:
        raise ContentDecodingError("it is cut off: its compressed stream has no end")
    return found, stream.unused_data
