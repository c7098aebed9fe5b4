"""Who sits at the console: a signed cookie that says which API key signed in, and when.

The cookie holds no key and no right: scopes and regions are read from the key's own row each time, so that a
revoked key ends its sessions within a second. A session lasts eight hours at most and ends after half an
hour without a page asked for by a person; the polls of an open page do not keep it alive.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from datetime import datetime

import msgspec

LONGEST_S = 8 * 3600
IDLE_S = 30 * 60
#: The cookie is written anew when it is older than this; not with every page.
RENEW_S = 60


class Session(msgspec.Struct, frozen=True, kw_only=True):
    key_id: str
    nonce: str  #: what the CSRF token of this session is made of
    started: int  #: seconds since 1970
    seen: int  #: when a person last asked for a page


class Sessions:
    """Makes, signs and opens sessions. Holds nothing; every replica with the same secret opens the same
    cookies."""

    def __init__(self, secret: bytes) -> None:
        self._session_key = hashlib.sha256(b"twinrun console session\0" + secret).digest()
        self._csrf_key = hashlib.sha256(b"twinrun console csrf\0" + secret).digest()

    def begin(self, key_id: str, now: datetime) -> Session:
        at = int(now.timestamp())
        return Session(key_id=key_id, nonce=secrets.token_urlsafe(16), started=at, seen=at)

    def sign(self, session: Session) -> str:
        raw = msgspec.json.encode(session)
        return f"{_spell(raw)}.{_spell(hmac.digest(self._session_key, raw, 'sha256'))}"

    def open(self, cookie: str | None, now: datetime) -> Session | None:
        """The session of this cookie; None for one that is foreign, changed, too old or idle for too long."""
        if not cookie:
            return None
        body, _, signature = cookie.partition(".")
        try:
            raw, signed = _read(body), _read(signature)
        except (binascii.Error, ValueError):
            return None
        if not hmac.compare_digest(signed, hmac.digest(self._session_key, raw, "sha256")):
            return None
        session = msgspec.json.decode(raw, type=Session)
        at = int(now.timestamp())
        fresh = at - session.started <= LONGEST_S and at - session.seen <= IDLE_S
        return session if fresh else None

    def seen(self, session: Session, now: datetime) -> Session | None:
        """The session as of now where its cookie should be written anew, else None."""
        at = int(now.timestamp())
        return msgspec.structs.replace(session, seen=at) if at - session.seen >= RENEW_S else None

    def csrf(self, session: Session) -> str:
        return _spell(hmac.digest(self._csrf_key, session.nonce.encode(), "sha256"))

    def csrf_holds(self, session: Session, token: str) -> bool:
        return hmac.compare_digest(self.csrf(session).encode(), token.encode())


def _spell(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def _read(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
