"""One system's requests and their replies: sign-on, limits, and what a failure means.

A request is sent once. The one thing that is ever sent twice is a request that was refused with 401, after a new
login: a request that was not let in has done nothing. What a write must look up before it is sent is looked up
here, too, and whatever becomes of that, nothing was written.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import httpx

from adapters import auth as sign_on
from adapters.door import Door, OwnDoor, Seen
from adapters.errors import AdapterError, Misconfigured, OutcomeUnknown, Rejected, Unauthorised, Unavailable
from adapters.mapping import EntityMap
from adapters.outcome import Problem, of_status, of_transport, retry_after_s
from adapters.profile import Profile
from adapters.transport import Carrier, Reply, Request
from adapters.wire import Broken, Change, Wire

#: Ids of related records that are remembered; a system has far fewer of the kinds that are looked up.
KNOWN_LIMIT = 50_000

#: What a failure of the transport says of the system's health.
_SEEN: Mapping[type[AdapterError], Seen] = {Misconfigured: Seen.NOTHING, Unavailable: Seen.UNREACHED}


class Exchange:
    """Sends what a wire makes to one system."""

    def __init__(
        self,
        *,
        name: str,
        profile: Profile,
        wire: Wire,
        carrier: Carrier,
        auth: Mapping[str, Any],
        now: Callable[[], datetime],
        door: Door | None = None,
    ) -> None:
        self._name = name
        self._profile = profile
        self._wire = wire
        self._carrier = carrier
        self._auth_settings = auth
        self._auth = sign_on.build(auth, self._login)
        self._now = now
        #: what a look-up found: (resource, conditions) -> native id
        self._known: dict[tuple[Any, ...], Any] = {}
        self._door = OwnDoor(profile.limits) if door is None else door

    async def reply(
        self, request: Request, entity_map: EntityMap | None, headers: Mapping[str, str] | None = None
    ) -> Reply:
        auth = self._auth
        own = auth.headers
        if own is None:
            own = await auth.obtain()
        reply, trouble = await self._send(request, own, headers, entity_map)
        if trouble is not None and trouble[0] == 401:
            renewed = await auth.renew(own)
            if renewed is not None:
                reply, trouble = await self._send(request, renewed, headers, entity_map)
        if trouble is None:
            return reply
        raise of_status(
            trouble[0], trouble[1], reply.headers, self._profile.options, system=self._name, now=self._now()
        )

    async def _send(
        self,
        request: Request,
        own: Mapping[str, str],
        headers: Mapping[str, str] | None,
        entity_map: EntityMap | None,
    ) -> tuple[Reply, tuple[int, Problem] | None]:
        # The Struct is ours alone until it is sent, and a request that is sent again gets the same headers
        # anew.
        request.headers.update(own)
        if headers:
            request.headers.update(headers)
        turn = await self._door.enter()
        seen = Seen.NOTHING
        try:
            reply = await self._carrier.send(request)
            trouble = self._wire.problem(entity_map, reply)
            seen = self._judged(reply, trouble)
        except httpx.HTTPError as error:
            failure = of_transport(error, self._name)
            seen = _SEEN.get(type(failure), Seen.FAILED)
            raise failure from error
        except httpx.InvalidURL as error:
            raise Misconfigured(str(error), system=self._name) from error
        else:
            return reply, trouble
        finally:
            self._door.leave(turn, seen)

    def _judged(self, reply: Reply, trouble: tuple[int, Problem] | None) -> Seen:
        """What an answer says of the system's health; a wish to be left alone is told to the door."""
        if trouble is None or trouble[0] < 429:
            return Seen.ANSWERED
        status, problem = trouble
        wish = reply.headers.get("Retry-After")
        if status == 429 or (status == 503 and wish is not None):
            self._door.throttled(retry_after_s(wish, self._now()), problem.message or f"status {status}")
            return Seen.ANSWERED
        return Seen.FAILED if status >= 500 else Seen.ANSWERED

    async def _login(self) -> dict[str, str]:
        reply, trouble = await self._send(self._wire.login(self._auth_settings), {}, None, None)
        if trouble is not None:
            status, problem = trouble
            if 400 <= status < 500 and status not in {408, 429}:
                raise Unauthorised(problem.message, system=self._name, code=problem.code)
            raise of_status(
                status, problem, reply.headers, self._profile.options, system=self._name, now=self._now()
            )
        try:
            return self._wire.session(self._auth_settings, reply)
        except Broken as error:
            raise Unauthorised(str(error), system=self._name) from error

    async def refer(
        self, entity_map: EntityMap, change: Change, headers: Mapping[str, str]
    ) -> list[tuple[Any, ...]]:
        """Put native ids where the mapping has named related records; what was found once is remembered."""
        used: list[tuple[Any, ...]] = []
        for reference in self._wire.references(entity_map, change):
            key = (reference.resource, reference.conditions)
            if key not in self._known:
                reply = await self.before(self._wire.look_up(reference), entity_map, headers)
                try:
                    found = self._wire.looked_up(reference, reply)
                except Broken as error:
                    raise Unavailable(str(error), system=self._name) from error
                if found is None:
                    raise Rejected(
                        f"there is no {reference.words}",
                        system=self._name,
                        code="reference_missing",
                        field=entity_map.canonical_path(reference.path),
                    )
                if len(self._known) >= KNOWN_LIMIT:
                    self._known.clear()
                self._known[key] = found
            reference.holder[reference.name] = self._known[key]
            used.append(key)
        return used

    @contextmanager
    def forgetting(self, used: list[tuple[Any, ...]]) -> Generator[None]:
        """A refused write may have named a record that has gone since we looked it up."""
        try:
            yield
        except Rejected:
            for key in used:
                self._known.pop(key, None)
            raise

    async def before(self, request: Request, entity_map: EntityMap, headers: Mapping[str, str]) -> Reply:
        """A read that a write needs first: whatever becomes of it, nothing was written."""
        try:
            return await self.reply(request, entity_map, headers)
        except OutcomeUnknown as error:
            raise Unavailable(error.message, system=self._name, code=error.code) from error

    async def close(self) -> None:
        await self._carrier.close()
