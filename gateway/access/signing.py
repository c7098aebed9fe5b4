"""Cursors that only this deployment can have issued, and only for the list they came from."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

from gateway.errors import FieldError, ForeignCursor

#: Bytes of the signature: 128 bits, which nobody guesses, and short enough for an address line.
SIGNATURE = 16


class Cursors:
    """Signs and opens cursors. A cursor is bound to a ``context``: its list, its filters and the regions
    asked for; in another context it is a foreign one."""

    def __init__(self, secret: bytes) -> None:
        self._secret = hashlib.sha256(b"twinrun cursor\0" + secret).digest()

    def sign(self, context: str, inner: str) -> str:
        """The opaque cursor that stands for ``inner``."""
        raw = inner.encode()
        return _spell(self._signature(context, raw) + raw)

    def open(self, context: str, cursor: str) -> str:
        """The text that was signed. Raises ForeignCursor for anything not signed here for this context."""
        try:
            packed = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError) as wrong:
            raise foreign() from wrong
        signature, raw = packed[:SIGNATURE], packed[SIGNATURE:]
        # The last character of base64 has bits that say nothing; only the spelling that was issued is taken.
        issued = _spell(packed) == cursor
        if not hmac.compare_digest(signature, self._signature(context, raw)) or not issued:
            raise foreign()
        return raw.decode()

    def _signature(self, context: str, raw: bytes) -> bytes:
        message = len(context).to_bytes(4, "big") + context.encode() + raw
        return hmac.new(self._secret, message, hashlib.sha256).digest()[:SIGNATURE]


def _spell(packed: bytes) -> str:
    return base64.urlsafe_b64encode(packed).rstrip(b"=").decode()


def foreign() -> ForeignCursor:
    return ForeignCursor(
        "hand back next_cursor unchanged, with the same filters, or leave cursor out to begin anew",
        errors=[FieldError(pointer="cursor", code="foreign", message="not a cursor of this list")],
    )
