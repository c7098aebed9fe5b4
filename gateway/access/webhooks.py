"""Signatures of webhooks that systems send us, as Standard Webhooks 1.0 has them. Pure.

What is signed is ``id.timestamp.body``, the body byte by byte as it came, with HMAC-SHA256. A secret is written as
``whsec_`` and base64; a header may carry several signatures, and a system may have two secrets while one is changed for
the other.
"""

from __future__ import annotations

import binascii
import hmac
from base64 import b64decode, b64encode
from collections.abc import Sequence

PREFIX = "whsec_"
VERSION = "v1"
#: Bytes of a secret: what the standard asks for.
LEAST_BYTES, MOST_BYTES = 24, 64
#: Secrets that count at once: the new one and the one before.
MOST_SECRETS = 2
#: Signatures of one header that are looked at.
MOST_SIGNATURES = 8


def secrets_of(text: str) -> tuple[bytes, ...]:
    """The secrets that a setting names, separated by white space. Raises ValueError, which never repeats them."""
    words = text.split()
    if not 1 <= len(words) <= MOST_SECRETS:
        raise ValueError(f"{len(words)} secrets; allowed are one, or two while one is changed for the other")
    return tuple(_secret(word) for word in words)


def _secret(word: str) -> bytes:
    try:
        found = b64decode(word.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"a secret is {PREFIX} and base64") from None
    if not LEAST_BYTES <= len(found) <= MOST_BYTES:
        raise ValueError(f"a secret of {len(found)} bytes; allowed are {LEAST_BYTES} to {MOST_BYTES}")
    return found


def signature(secret: bytes, id_: str, timestamp: str, body: bytes) -> str:
    """What the header says of a webhook that is signed with ``secret``."""
    made = hmac.digest(secret, f"{id_}.{timestamp}.".encode() + body, "sha256")
    return f"{VERSION},{b64encode(made).decode()}"


def is_signed(secrets: Sequence[bytes], id_: str, timestamp: str, body: bytes, header: str) -> bool:
    """Whether one of the signatures in ``header`` is made with one of the secrets. It takes as long whether it holds or
    not, and wherever the two part."""
    given = [one.encode("utf-8", "replace") for one in header.split()[:MOST_SIGNATURES]]
    held = False
    for secret in secrets:
        right = signature(secret, id_, timestamp, body).encode()
        for one in given:
            held |= hmac.compare_digest(right, one)
    return held
