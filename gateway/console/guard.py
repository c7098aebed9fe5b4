"""The door of the console: who may enter, and that a form was really sent from one of our own pages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol
from urllib.parse import urlsplit

import msgspec
from litestar import Request, Response
from litestar.datastructures import Cookie

from gateway.access import Caller, KeyRow
from gateway.access.caller import implied
from gateway.clock import Clock
from gateway.console.session import LONGEST_S, Session, Sessions
from gateway.errors import Forbidden, GatewayError
from gateway.routing.cohort import covering

LOOK = "admin:read"
CHANGE = "admin:write"
APPROVE = "admin:approve"
#: Seconds for which the list of keys is trusted: a revoked key ends its sessions within this time.
KEYS_FRESH_S = 1.0

AnyRequest = Request[Any, Any, Any]


class Keyring(Protocol):
    """What the console needs of ``gateway.access.Keys``."""

    async def authenticate(self, authorization: str | None) -> Caller: ...

    async def list(self) -> Sequence[KeyRow]: ...


class SignInNeeded(GatewayError):
    """Sign in to go on."""


class FormForeign(GatewayError):
    """This form was not sent from a page of this session; load the page again and repeat."""


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks for a page, with what belongs to this very request."""

    caller: Caller
    session: Session
    csrf: str
    renewed: Session | None  #: the session to write into the cookie, where it is due

    @property
    def may_change(self) -> bool:
        return CHANGE in self.caller.scopes

    @property
    def may_approve(self) -> bool:
        return APPROVE in self.caller.scopes


class Guard:
    """Opens sessions and checks forms. ``secure`` is None to follow the scheme of each request; True behind
    a proxy that ends TLS. ``places``: the regions and their cohorts."""

    def __init__(
        self,
        *,
        keys: Keyring,
        secret: bytes,
        clock: Clock,
        secure: bool | None = None,
        places: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        self._keys = keys
        self._places = places
        self._sessions = Sessions(secret)
        self._clock = clock
        self._secure = secure
        self._rows: dict[str, KeyRow] = {}
        self._rows_at = float("-inf")

    # --- in and out ---

    async def sign_in(self, key: str) -> Session:
        """A new session for this API key. Raises Unauthenticated, or Forbidden for a key that may not
        look."""
        caller = await self._keys.authenticate(f"Bearer {key.strip()}")
        caller.require(LOOK)
        self._rows_at = float("-inf")  # the key may be younger than the list
        return self._sessions.begin(caller.key_id, self._clock.now())

    async def enter(self, request: AnyRequest, *, by_person: bool = True) -> Person:
        """Who sends this request. Raises SignInNeeded. A poll (``by_person=False``) does not keep a session
        alive."""
        now = self._clock.now()
        session = self._sessions.open(request.cookies.get(self._name(request)), now)
        if session is None:
            raise SignInNeeded
        caller = await self._caller(session.key_id)
        if caller is None or LOOK not in caller.scopes:
            raise SignInNeeded("the key that signed in was revoked, or lost the scope admin:read")
        return Person(
            caller=caller,
            session=session,
            csrf=self._sessions.csrf(session),
            renewed=self._sessions.seen(session, now) if by_person else None,
        )

    async def submitted(self, request: AnyRequest, *, change: bool = True) -> tuple[Person, dict[str, str]]:
        """Who sends this form, and its fields. Raises FormForeign, and Forbidden for a key that may only
        look."""
        self.own_origin(request)
        person = await self.enter(request)
        form = await fields(request)
        if not self._sessions.csrf_holds(person.session, form.pop("csrf", "")):
            raise FormForeign("the page is from an earlier session")
        if change and not person.may_change:
            raise Forbidden(
                f"the key {person.caller.name!r} may look, not change: it lacks the scope {CHANGE}"
            )
        return person, form

    async def approved(self, request: AnyRequest) -> tuple[Person, dict[str, str]]:
        """``submitted`` for a form that approves what somebody else has asked for."""
        person, form = await self.submitted(request, change=False)
        if not person.may_approve:
            raise Forbidden(f"the key {person.caller.name!r} may not approve: it lacks the scope {APPROVE}")
        return person, form

    def own_origin(self, request: AnyRequest) -> None:
        """Raises FormForeign unless the browser says that the form came from this very host."""
        origin = request.headers.get("origin")
        if origin is not None:
            if urlsplit(origin).netloc != request.headers.get("host", ""):
                raise FormForeign("the form was sent from another site")
        elif request.headers.get("sec-fetch-site") != "same-origin":
            raise FormForeign("the browser does not say which site the form was sent from")

    # --- the cookie ---

    def has_cookie(self, request: AnyRequest) -> bool:
        return self._name(request) in request.cookies

    def keep(self, request: AnyRequest, response: Response[Any], session: Session) -> None:
        response.set_cookie(self._cookie(request, self._sessions.sign(session), LONGEST_S))

    def forget(self, request: AnyRequest, response: Response[Any]) -> None:
        response.set_cookie(self._cookie(request, "", 0))

    def _is_secure(self, request: AnyRequest) -> bool:
        return request.url.scheme == "https" if self._secure is None else self._secure

    def _name(self, request: AnyRequest) -> str:
        # The prefix makes the browser refuse the cookie from a sub-domain or over plain HTTP.
        return "__Host-twinrun" if self._is_secure(request) else "twinrun"

    def _cookie(self, request: AnyRequest, value: str, max_age: int) -> Cookie:
        return Cookie(
            key=self._name(request),
            value=value,
            max_age=max_age,
            path="/",
            httponly=True,
            samesite="strict",
            secure=self._is_secure(request),
        )

    async def _caller(self, key_id: str) -> Caller | None:
        if self._clock.monotonic() - self._rows_at > KEYS_FRESH_S:
            self._rows = {row.id: row for row in await self._keys.list() if row.revoked_at is None}
            self._rows_at = self._clock.monotonic()
        row = self._rows.get(key_id)
        if row is None:
            return None
        return Caller(
            name=row.name,
            key_id=row.id,
            scopes=implied(frozenset(row.scopes), row.role),
            regions=covering(None if row.regions is None else frozenset(row.regions), self._places()),
            entities=None if row.entities is None else frozenset(row.entities),
        )


async def fields(request: AnyRequest) -> dict[str, str]:
    """The text fields of a form; a file in it is left out, as no form of ours has one."""
    return {name: value for name, value in (await request.form()).items() if isinstance(value, str)}
