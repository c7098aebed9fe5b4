"""A merge or a split, written: everything of it in the caller's transaction, which holds both records."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from sqlalchemy import Connection, update

from gateway.backfill.bringing import Behalf, Bringing, bring
from gateway.compare.jobs import drop, schedule
from gateway.compare.observation import CompareJob
from gateway.compare.store import end
from gateway.crosswalk.merges import Merge, Moved
from gateway.crosswalk.tables import crosswalk
from gateway.database import among
from gateway.dispatch import natural_keys
from gateway.dispatch.command import Document
from gateway.ids import Ids
from gateway.ledger import journal
from gateway.ledger.tables import natural_key, record
from gateway.merging import judging
from gateway.merging.pair import Pair, number_of
from gateway.routing.stage import System

#: What ends the differences of a record that is a tombstone from now on.
MERGED = "merged"


class _Head(msgspec.Struct, frozen=True, kw_only=True):
    """Where a record's stream stands, as whoever brings it needs it."""

    version: int
    seq: int


def merge(connection: Connection, one: Merge, pair: Pair, *, by: str, ids: Ids, at: int) -> Moved:
    """Makes the loser a tombstone. Returns what it has changed, for the way back."""
    loser, winner = pair.loser, pair.winner
    links = judging.moves(pair)
    turned = pair.authority in links
    told = judging.told(pair)
    number = judging.number_after(pair)
    _relink(connection, loser.id, winner.id, links)
    _stand_for(connection, (loser.id, *loser.tombstones), winner.id)
    _take_for(connection, (loser.id, *loser.tombstones), winner.id, at=at)
    document, version = winner.image, winner.version
    if turned:
        document, version = loser.image, winner.version + 1
        _put(connection, winner.id, document, loser.match_key, version=version, at=at)
    natural_keys.release(connection, [loser.id, winner.id])
    if number is not None:
        natural_keys.reserve(connection, {(pair.entity, winner.legal_entity or "", number): winner.id})
    end(connection, loser.id, at=at, how=MERGED)
    drop(connection, loser.id)
    words = f"{loser.id} into {winner.id}, asked for by {one.requested_by}, approved by {by}: {one.reason}"
    _events(connection, one, "merged", words, at=at)
    if told is not None and document is not None:
        tells = True
        _tell(connection, one, pair, winner.id, document, told, version=version, seq=winner.seq, ids=ids, at=at)
    else:
        tells = False
        _compare(connection, pair, winner.id, {*winner.links, *links}, seq=winner.seq, at=at)
    return Moved(
        links=links,
        number=loser.held,
        turned=turned,
        image=winner.image if turned else None,
        match_key=winner.match_key if turned else None,
        tombstones=loser.tombstones,
        seq=winner.seq + tells,
        told=tells,
    )


def split(connection: Connection, one: Merge, done: Merge, pair: Pair, *, by: str, at: int) -> None:
    """Puts back what ``done`` has moved."""
    loser, winner, moved = pair.loser, pair.winner, done.moved
    assert moved is not None
    _relink(connection, winner.id, loser.id, moved.links)
    _stand_for(connection, (loser.id,), None)
    _stand_for(connection, moved.tombstones, loser.id)
    _take_for(connection, (loser.id,), None, at=at)
    _take_for(connection, moved.tombstones, loser.id, at=at)
    if moved.turned:
        _put(connection, winner.id, moved.image, moved.match_key, version=winner.version + 1, at=at)
    if moved.number is not None:
        _give_back(connection, pair, moved.number)
    natural_keys.release(connection, [winner.id])
    before = number_of(moved.image if moved.turned else winner.image, pair.entity)
    if before is not None:
        natural_keys.reserve(connection, {(pair.entity, winner.legal_entity or "", before): winner.id})
    words = f"{loser.id} from {winner.id}, asked for by {one.requested_by}, approved by {by}: {one.reason}"
    _events(connection, one, "split", words, at=at)
    _compare(connection, pair, loser.id, {*loser.links, *moved.links}, seq=loser.seq, at=at)
    left = {system for system in winner.links if system not in moved.links}
    _compare(connection, pair, winner.id, left, seq=winner.seq, at=at)


def _relink(connection: Connection, before: str, after: str, links: Mapping[str, str]) -> None:
    if links:
        connection.execute(
            update(crosswalk)
            .where(crosswalk.c.record_id == before, among(crosswalk.c.system, sorted(links)))
            .values(record_id=after)
        )


def _stand_for(connection: Connection, tombstones: tuple[str, ...], winner: str | None) -> None:
    """What these are linked to means the winner; None: these themselves."""
    if tombstones:
        connection.execute(
            update(crosswalk).where(among(crosswalk.c.record_id, tombstones)).values(stands_for=winner)
        )


def _take_for(connection: Connection, tombstones: tuple[str, ...], winner: str | None, *, at: int) -> None:
    if tombstones:
        connection.execute(
            update(record).where(among(record.c.id, tombstones)).values(merged_into=winner, updated_at=at)
        )


def _put(
    connection: Connection, id_: str, document: Document | None, match_key: str | None, *, version: int, at: int
) -> None:
    connection.execute(
        update(record)
        .where(record.c.id == id_)
        .values(
            image=None if document is None else journal.encode(document),
            match_key=match_key,
            version=version,
            updated_at=at,
        )
    )


def _give_back(connection: Connection, pair: Pair, number: str) -> None:
    """The loser has its number again, whether the winner has had it meanwhile or nobody."""
    loser = pair.loser
    key = (pair.entity, loser.legal_entity or "", number)
    mine = connection.execute(
        update(natural_key)
        .where(
            natural_key.c.entity == key[0],
            natural_key.c.scope == key[1],
            natural_key.c.value == key[2],
            natural_key.c.record_id == pair.winner.id,
        )
        .values(record_id=loser.id)
    )
    if not mine.rowcount:
        natural_keys.reserve(connection, {key: loser.id})


def _events(connection: Connection, one: Merge, name: str, words: str, *, at: int) -> None:
    journal.add_events(
        connection,
        [
            journal.event_row(at=at, operation_id=one.id, record_id=id_, name=name, detail=words[:1000])
            for id_ in (one.loser, one.winner)
        ],
    )


def _tell(
    connection: Connection,
    one: Merge,
    pair: Pair,
    record_id: str,
    document: Document,
    mirror: str,
    *,
    version: int,
    seq: int,
    ids: Ids,
    at: int,
) -> None:
    """Has the mirror told what this record is: a write that the authority has already."""
    slice_ = pair.slice
    behalf = Behalf(
        id=one.id, entity=slice_.entity, region=slice_.region, stage=slice_.stage.value, epoch=slice_.epoch,
        source=pair.authority, target=mirror, event="told_of_merge",
    )  # fmt: skip
    heads: dict[str, Any] = {record_id: _Head(version=version, seq=seq)}
    wanted = [Bringing(record_id=record_id, image=document, due_at=at)]
    bring(connection, behalf, wanted, records=heads, ids=ids, at=at)


def _compare(
    connection: Connection, pair: Pair, record_id: str, linked: set[str], *, seq: int, at: int
) -> None:
    """Both sides of it are looked at, where it has two."""
    mirror = pair.mirror
    if mirror is None or not {mirror, pair.authority} <= linked:
        return
    schedule(
        connection,
        [
            CompareJob(
                record_id=record_id,
                entity=pair.entity,
                region=pair.slice.region,
                authority=System(pair.authority),
                other=System(mirror),
                stage=pair.slice.stage.value,
                seq=seq,
                due_at=at,
                reason="read",
            )
        ],
    )


