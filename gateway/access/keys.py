"""The API keys: made, revoked, and held in memory so that a request costs no read of the database."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import secrets
import string
from collections.abc import Callable, Iterable, Sequence

import msgspec
from sqlalchemy import Connection, bindparam, insert, select, update

from gateway.access.caller import ROLES, SCOPES, Caller, implied
from gateway.access.tables import api_key
from gateway.audit import record
from gateway.clock import Clock, rfc3339
from gateway.database import Database, from_micros, moment, to_micros
from gateway.errors import (
    FieldError,
    Malformed,
    NotFoundHere,
    StoreUnavailable,
    Unauthenticated,
)
from gateway.ids import KEY, Ids
from gateway.routing.cohort import covering

log = logging.getLogger(__name__)

PREFIX = "twk_"
#: Letters and digits that nobody confuses when reading a prefix out loud.
READABLE = "".join(c for c in string.ascii_lowercase + string.digits if c not in "0o1l")
REFRESH_S = 0.8  #: seconds between two readings of the table; a revoked key works no longer than a second
MISS_S = 0.2  #: an unknown key makes the table be read again, but never more often than this
STALE_S = 15.0  #: seconds without the database after which no key is trusted
USED_S = 60  #: seconds; last_used_at is kept this coarsely


class KeyRow(msgspec.Struct, frozen=True, kw_only=True):
    """A key as a list may show it: never the secret, never its hash."""

    id: str
    name: str
    prefix: str
    scopes: tuple[str, ...]
    regions: tuple[str, ...] | None
    entities: tuple[str, ...] | None
    created_at: str
    created_by: str
    role: str | None = None
    revoked_at: str | None = None
    last_used_at: str | None = None


class Keys:
    """The API keys of this deployment, with a copy in memory that is at most a second old. ``places``: the regions and
    their cohorts; whoever may see a region may see those."""

    def __init__(
        self, *, database: Database, clock: Clock, ids: Ids, places: Callable[[], Sequence[str]] = tuple
    ) -> None:
        self._database = database
        self._places = places
        self._clock = clock
        self._ids = ids
        self._callers: dict[str, Caller] = {}
        self._stored_use: dict[str, int] = {}
        self._used: dict[str, int] = {}
        self._read_at = float("-inf")
        self._reading: asyncio.Task[None] | None = None
        self._loop: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Reads the keys, and goes on reading them until ``stop()``."""
        await self._read()
        self._loop = asyncio.create_task(self._keep_reading(), name="api keys")

    async def stop(self) -> None:
        if self._loop is not None:
            self._loop.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._loop
            self._loop = None
            with contextlib.suppress(StoreUnavailable):
                await self._keep_use()

    async def create(
        self,
        name: str,
        *,
        scopes: Iterable[str] | None = None,
        role: str | None = None,
        regions: Iterable[str] | None = None,
        entities: Iterable[str] | None = None,
        actor: str,
    ) -> tuple[str, KeyRow]:
        """Makes a key, with ``scopes`` or with a ``role``. The first of the pair is the key itself, which is shown now
        and never again. Raises Malformed."""
        wanted = tuple(sorted(set(ROLES.get(role or "", ()) if scopes is None else scopes)))
        _check(name, wanted, role=role, both=scopes is not None)
        prefix = PREFIX + "".join(secrets.choice(READABLE) for _ in range(8))
        secret = f"{prefix}_{secrets.token_urlsafe(32)}"
        now = to_micros(self._clock.now())
        row = KeyRow(
            id=self._ids.new(KEY),
            name=name,
            prefix=prefix,
            scopes=wanted,
            regions=None if regions is None else tuple(sorted(set(regions))),
            entities=None if entities is None else tuple(sorted(set(entities))),
            created_at=rfc3339(from_micros(now)),
            created_by=actor,
            role=role,
        )

        def unit(connection: Connection) -> None:
            connection.execute(
                insert(api_key).values(
                    id=row.id,
                    name=name,
                    prefix=prefix,
                    digest=_digest(secret),
                    scopes=_json(row.scopes),
                    role=role,
                    regions=None if row.regions is None else _json(row.regions),
                    entities=None if row.entities is None else _json(row.entities),
                    created_at=now,
                    created_by=actor,
                )
            )
            record(
                connection,
                at=now,
                actor=actor,
                action="key.create",
                subject=row.id,
                detail={"name": name, "prefix": prefix, "scopes": row.scopes, "role": role,
                        "regions": row.regions, "entities": row.entities},
            )  # fmt: skip

        await self._database.transaction(unit)
        await self._read_anew()
        return secret, row

    async def list(self) -> tuple[KeyRow, ...]:
        """Every key, revoked ones too, the newest first."""
        query = select(api_key).order_by(api_key.c.created_at.desc(), api_key.c.id.desc())
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return tuple(
            KeyRow(
                id=row.id,
                name=row.name,
                prefix=row.prefix,
                scopes=_tuple(row.scopes) or (),
                regions=_tuple(row.regions),
                entities=_tuple(row.entities),
                created_at=rfc3339(from_micros(row.created_at)),
                created_by=row.created_by,
                revoked_at=moment(row.revoked_at),
                last_used_at=moment(row.last_used_at),
                role=row.role,
            )
            for row in rows
        )

    async def revoke(self, key_id: str, actor: str) -> None:
        """Ends a key. To revoke it twice is no error. Raises NotFoundHere for an id that is no key's."""
        now = to_micros(self._clock.now())

        def unit(connection: Connection) -> None:
            row = connection.execute(
                select(api_key.c.name, api_key.c.prefix, api_key.c.revoked_at).where(api_key.c.id == key_id)
            ).one_or_none()
            if row is None:
                raise NotFoundHere(f"no API key has the id {key_id!r}")
            if row.revoked_at is not None:
                return
            connection.execute(update(api_key).where(api_key.c.id == key_id).values(revoked_at=now))
            record(
                connection,
                at=now,
                actor=actor,
                action="key.revoke",
                subject=key_id,
                detail={"name": row.name, "prefix": row.prefix},
            )

        await self._database.transaction(unit)
        await self._read_anew()

    async def authenticate(self, authorization: str | None) -> Caller:
        """Who sends this ``Authorization`` header. Raises Unauthenticated, the same for every wrong key."""
        if authorization is None:
            raise Unauthenticated("send Authorization: Bearer and an API key")
        scheme, _, secret = authorization.partition(" ")
        secret = secret.strip()
        if scheme.lower() != "bearer" or not secret.isascii():
            raise Unauthenticated("send Authorization: Bearer and an API key", error="invalid_request")
        # The look-up is by hash: how long it takes tells something of a SHA-256 that nobody can choose, and
        # nothing of a key.
        digest = _digest(secret)
        caller = self._callers.get(digest)
        age = self._clock.monotonic() - self._read_at
        if age > STALE_S or (caller is None and age > MISS_S and secret.startswith(PREFIX)):
            # The key may have been made a moment ago by another process; or this one has lost its database.
            await self._read()
            caller = self._callers.get(digest)
        if caller is None:
            raise Unauthenticated("this API key is not known, or was revoked", error="invalid_token")
        self._used[caller.key_id] = to_micros(self._clock.now())
        return caller

    async def _keep_reading(self) -> None:
        while True:
            await self._clock.sleep(REFRESH_S)
            try:
                await self._read()
                await self._keep_use()
            except (StoreUnavailable, OSError) as lost:
                # The keys read last go on working until STALE_S; the loop tries again.
                log.warning("API keys could not be read again: %s", lost)
            except Exception:
                # A fault of ours must not end this loop for the life of the process.
                log.exception("API keys could not be read again")

    async def _read(self) -> None:
        """Reads the table; whoever asks meanwhile waits for the same reading."""
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read_once(), name="read api keys")
            # Whoever asked may be gone by the time it fails; the failure is told to those who still wait.
            self._reading.add_done_callback(lambda task: task.cancelled() or task.exception())
        await asyncio.shield(self._reading)

    async def _read_anew(self) -> None:
        """Reads the table as it is now: a reading that began before this moment may have missed a commit."""
        if self._reading is not None and not self._reading.done():
            await asyncio.wait([self._reading])
        await self._read()

    async def _read_once(self) -> None:
        query = select(api_key).where(api_key.c.revoked_at.is_(None))
        begun = self._clock.monotonic()
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        callers: dict[str, Caller] = {}
        for row in rows:
            regions, entities = _tuple(row.regions), _tuple(row.entities)
            callers[row.digest] = Caller(
                name=row.name,
                key_id=row.id,
                scopes=implied(frozenset(_tuple(row.scopes) or ()), row.role),
                regions=covering(None if regions is None else frozenset(regions), self._places()),
                entities=None if entities is None else frozenset(entities),
            )
        self._callers = callers
        self._stored_use = {row.id: row.last_used_at or 0 for row in rows}
        self._read_at = begun

    async def _keep_use(self) -> None:
        """Writes down when keys were last used, at most once a minute and key."""
        due = [
            {"key": key, "at": at}
            for key, at in self._used.items()
            if at - self._stored_use.get(key, at) >= USED_S * 1_000_000
        ]
        if not due:
            return
        statement = (
            update(api_key).where(api_key.c.id == bindparam("key")).values(last_used_at=bindparam("at"))
        )

        def unit(connection: Connection) -> None:
            connection.execute(statement, due)

        await self._database.transaction(unit)
        for kept in due:
            self._used.pop(str(kept["key"]), None)


def _check(name: str, scopes: tuple[str, ...], *, role: str | None, both: bool) -> None:
    errors: list[FieldError] = []
    if not 1 <= len(name) <= 100 or not name.isprintable():
        errors.append(FieldError(pointer="/name", code="length", message="1 to 100 printable characters"))
    unknown = [scope for scope in scopes if scope not in SCOPES]
    if role is not None and (both or role not in ROLES):
        message = "a key has scopes or a role" if both else f"{role}; allowed are {', '.join(ROLES)}"
        errors.append(FieldError(pointer="/role", code="unknown", message=message))
    elif unknown or not scopes:
        found = ", ".join(unknown) or "none"
        errors.append(
            FieldError(pointer="/scopes", code="unknown", message=f"{found}; allowed are {', '.join(SCOPES)}")
        )
    if errors:
        raise Malformed("an API key needs a name and at least one scope", errors=errors)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _json(values: tuple[str, ...]) -> str:
    return msgspec.json.encode(values).decode()


def _tuple(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else msgspec.json.decode(text, type=tuple[str, ...])
