"""What each system shows of a record, told apart into echoes of our own writes and edits of somebody else."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256

import msgspec
from sqlalchemy import Connection

from adapters.contract import Adapter, Found
from adapters.door import Urgency, urgent
from adapters.errors import NotFound, OutcomeUnknown, Rejected
from gateway.canonical import BY_NAME
from gateway.change_feed import store
from gateway.change_feed.merge import Edits, edits_of, said
from gateway.change_feed.store import Seen, Sent
from gateway.database import Database
from gateway.dispatch.adoption import Adoption
from gateway.dispatch.command import Document
from gateway.dispatch.records import Records, RecordView
from gateway.dispatch.translate import expected, leads_nowhere, without_marks
from gateway.routing.stage import System

MICROS = 1_000_000
#: Records that are looked at closely at once: few, since callers go first.
PLACES = 8
#: Seconds added to what a profile says of how far its reads are behind its writes.
LAG_MARGIN_S = 2.0
#: Seconds after which a system that does not show our last write is believed to have lost its marker.
SHOWN_WITHIN_S = 300.0


class State(msgspec.Struct, frozen=True, kw_only=True):
    """What the journal knows of the records of a page, as of one moment."""

    now: int
    views: Mapping[str, RecordView]
    restless: frozenset[str]  #: a write of ours is on its way, or has been since the page was asked for
    seen: Mapping[tuple[str, str], Seen]
    sent: Mapping[tuple[str, str], Sequence[Sent]]
    applied: Mapping[tuple[str, str], int]


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """One record as one system shows it. ``wait``: why nothing can be said of it yet. ``edits``: what somebody has
    changed there; ``before``: the same fields as they were. ``known``: it was shown just so before."""

    system: System
    native_id: str
    version: str | None
    document: Document
    digest: str
    seq: int
    edits: Edits = {}
    before: Edits = {}
    known: bool = False
    wait: str | None = None

    def seen(self, record_id: str, disputed: Iterable[str] = ()) -> Seen:
        """What is to be remembered of it."""
        return Seen(
            record_id=record_id,
            system=self.system.value,
            version=self.version,
            digest=self.digest,
            document=self.common(disputed),
            seq=self.seq,
        )

    def common(self, disputed: Iterable[str]) -> Document:
        """What it has in common with the other system: its document without what is in dispute."""
        out = dict(self.document)
        for name in disputed:
            if name not in self.edits:
                continue
            out.pop(name, None)
            if self.before.get(name) is not None:
                out[name] = self.before[name]
        return out


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """A record with both of its sides."""

    view: RecordView
    sides: Mapping[System, Side]
    wait: str | None = None
    gone: bool = False  #: one of the systems holds it no more


class Looks:
    def __init__(
        self, *, database: Database, adapters: Mapping[str, Adapter], records: Records, adoption: Adoption
    ) -> None:
        self._database = database
        self._adapters = adapters
        self._records = records
        self._adoption = adoption
        self._room = asyncio.Semaphore(PLACES)

    async def state(self, ids: Sequence[str], mark: int) -> State:
        """The journal's side of these records; ``mark`` is the journal's last event before they were asked for."""
        views = await self._records.views(ids)

        def unit(connection: Connection) -> State:
            restless = store.moving(connection, ids) | store.moved_since(connection, ids, mark)
            return State(
                now=self._database.now(connection),
                views=views,
                restless=restless | {one.id for one in views.values() if one.open_writes},
                seen=store.seen_of(connection, ids),
                sent=store.sent(connection, ids),
                applied=store.applied_seqs(connection, ids),
            )

        return await self._database.read(unit)

    async def side(
        self, system: str, found: Found, view: RecordView, state: State, *, closely: bool = False
    ) -> Side:
        """What ``found`` says, held against what we know. ``closely``: also where it was shown just so before, since
        it may hold edits that are in dispute."""
        key = (view.id, system)
        seen, sent, link = state.seen.get(key), state.sent.get(key, ()), view.links[system]
        seq = state.applied.get(key, 0)
        if (
            not closely
            and seen is not None
            and seen.seq == seq
            and seen.version == found.native_version is not None
        ):
            return Side(
                system=System(system),
                native_id=found.native_id,
                version=seen.version,
                document=seen.document,
                digest=seen.digest,
                seq=seq,
                known=True,
            )
        adapter, entity = self._adapters[system], BY_NAME[view.entity]
        marked = await self._adoption.marked(adapter, view.entity, found, region=view.region)
        document = without_marks(entity, marked)
        digest = sha256(msgspec.json.encode(document, order="deterministic")).hexdigest()
        side = Side(
            system=System(system),
            native_id=found.native_id,
            version=found.native_version,
            document=document,
            digest=digest,
            seq=seq,
        )
        if (
            not closely
            and seen is not None
            and seen.seq == seq
            and seen.digest == digest
            and seen.version == found.native_version
        ):
            return msgspec.structs.replace(side, known=True)
        ours = found.native_version is not None and found.native_version == link.native_version
        if not ours and sent:
            why = self._behind(adapter, view.entity, found, sent[-1], state.now)
            if why is not None:
                return msgspec.structs.replace(side, wait=why)
        if view.image is None:
            return side
        # Left out, it would read as taken away.
        if missing := leads_nowhere(entity, marked):
            return msgspec.structs.replace(side, wait=f"{missing} names a record that is not known here yet")
        mapped = adapter.facts(view.entity).mapped
        written: set[str] = set()
        for one in sent:
            if seen is None or one.seq > seen.seq:
                written |= mapped if one.kind == "create" else one.fields
        # A reference to a tombstone has not been edited: the record that is meant is the same.
        base = None if seen is None else await self._records.meant_in(entity, seen.document)
        should = expected(adapter, entity, await self._records.meant_in(entity, view.image))
        edits = edits_of(now=document, base=base, should=should, mapped=mapped, written=written, ours=ours)
        before = {
            name: said((should if base is None or name in written else base).get(name)) for name in edits
        }
        return msgspec.structs.replace(side, edits=edits, before=before)

    def _behind(self, adapter: Adapter, entity: str, found: Found, last: Sent, now: int) -> str | None:
        """Why this may be the state before our last write: then it is no edit."""
        facts = adapter.facts(entity)
        age_s = (now - last.at) / MICROS
        if age_s < facts.lag_s + (
            LAG_MARGIN_S if found.marker is None else 0.0
        ):
            return f"{adapter.name} may not show our last write yet"
        if found.marker is not None and not last.marker.endswith(found.marker) and age_s < SHOWN_WITHIN_S:
            return f"{adapter.name} does not show our last write yet"
        return None

    async def pair(self, view: RecordView, state: State) -> Pair:
        """Both sides as they are now. An edit is judged against what stands on the other side, never alone."""

        async def one(system: System) -> Side | str:
            link = view.links[system]
            async with self._room:
                try:
                    with urgent(Urgency.BACKFILL):
                        found = await self._adapters[system].fetch(view.entity, link.native_id)
                        return await self.side(system, found, view, state, closely=True)
                except NotFound:
                    return f"{system} holds {link.native_id} no more"
                except (OutcomeUnknown, Rejected) as unread:
                    # One record that cannot be read holds up no other.
                    return f"{system} does not show {link.native_id}: {unread}"[:500]

        sides: dict[System, Side] = {}
        for system, side in zip(System, await asyncio.gather(*(one(each) for each in System)), strict=True):
            if isinstance(side, str):
                return Pair(view=view, sides={}, wait=side, gone=True)
            if side.wait is not None:
                return Pair(view=view, sides={}, wait=side.wait)
            sides[system] = side
        return Pair(view=view, sides=sides)
