"""What a merge, or the way back from one, would change now, and what stands against it. Pure but for one look."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, select

from gateway.crosswalk.merges import Merge, MergeKind
from gateway.errors import FieldError, MergeRefused
from gateway.ledger.tables import natural_key
from gateway.merging.pair import Pair, Record, number_of
from gateway.routing.cohort import plain
from gateway.switchover.evidence import digest

#: Told to whoever decides, and not signed: it grows with traffic, and no approval would ever hold.
UNSIGNED = ("dependants",)


def hash_of(evidence: Mapping[str, Any]) -> str:
    """What an approval signs."""
    return digest({name: value for name, value in evidence.items() if name not in UNSIGNED})


def refused(failures: Sequence[FieldError], words: str) -> MergeRefused:
    return MergeRefused(
        f"{words}: {failures[0].message}", errors=failures, conditions=[one.code for one in failures]
    )


def _failure(code: str, message: str, pointer: str = "/into") -> FieldError:
    return FieldError(pointer=pointer, code=code, message=message)


def apart(loser: str, winner: str, slices: Mapping[str, tuple[str, str]]) -> list[FieldError]:
    """What shows without a look at the records that they cannot be one."""
    if loser == winner:
        return [_failure("same", "a record cannot be merged into itself")]
    (entity, region), (other, place) = slices[loser], slices[winner]
    if entity != other:
        return [_failure("entity", f"{loser} is a {entity} and {winner} is a {other}")]
    if region != place:
        code = "cohort" if plain(region) == plain(place) else "region"
        return [_failure(code, f"{loser} is of {region} and {winner} is of {place}")]
    return []


def against_merge(pair: Pair, *, both: bool) -> list[FieldError]:
    """What stands against it now."""
    loser, winner = pair.loser, pair.winner
    failures: list[FieldError] = []
    for one in (loser, winner):
        if one.merged_into is not None:
            failures.append(_failure("tombstone", f"{one.id} was merged into {one.merged_into} before"))
        if one.version == 0:
            failures.append(_failure("unconfirmed", f"the create of {one.id} is not confirmed yet"))
    failures += _busy(pair, "/into")
    if loser.legal_entity != winner.legal_entity:
        message = f"{loser.id} is of {loser.legal_entity} and {winner.id} is of {winner.legal_entity}"
        failures.append(_failure("legal_entity", message))
    if loser.cases:
        failures.append(_failure("case", f"{loser.id} waits for a person: decide its cases first"))
    if not both and all(pair.authority in one.links for one in (loser, winner)):
        natives = " and ".join(one.links[pair.authority].native_id for one in (loser, winner))
        message = (
            f"{pair.authority} holds them as records of its own, {natives}: confirm with both_at_authority that "
            "both stay there"
        )
        failures.append(_failure("both_at_authority", message, "/both_at_authority"))
    return failures


def _busy(pair: Pair, pointer: str) -> list[FieldError]:
    failures: list[FieldError] = []
    for one in (pair.loser, pair.winner):
        if one.region != pair.slice.region:
            message = f"{one.id} has come into {one.region} meanwhile: ask for it again"
            failures.append(_failure("cohort", message, pointer))
        if one.open_writes:
            failures.append(_failure("open_write", f"{one.open_writes} writes of {one.id} are open", pointer))
        elif one.waits:
            failures.append(_failure("open_delivery", f"{one.waits} deliveries of {one.id} are open", pointer))
    if pair.slice.draining:
        message = f"the authority of {pair.slice.entity} in {pair.slice.region} is being moved"
        failures.append(_failure("draining", message, pointer))
    return failures


def moves(pair: Pair) -> dict[str, str]:
    """System -> native id of what only the loser is linked to."""
    there = pair.winner.links
    return {system: native for system, native in pair.loser.natives().items() if system not in there}


def number_after(pair: Pair) -> str | None:
    """The number of the one record that they become. Where the loser is what the authority holds, it is the loser's."""
    kept = pair.loser if pair.authority in moves(pair) else pair.winner
    return kept.number(pair.entity)


def told(pair: Pair) -> str | None:
    """The mirror that has to be told, because what it holds of the winner then is not what the winner is."""
    moved, mirror = moves(pair), pair.mirror
    if mirror is None or not {mirror, pair.authority} & moved.keys():
        return None
    linked = {*moved, *pair.winner.links}
    return mirror if {mirror, pair.authority} <= linked else None


def of_merge(pair: Pair, *, both: bool) -> dict[str, Any]:
    """What there is to approve."""
    moved = moves(pair)
    number = pair.loser.number(pair.entity)
    becomes = "none" if number is None else "kept" if number == number_after(pair) else "released"
    return {
        **_head(pair, MergeKind.MERGE),
        "links": {
            "moved": moved,
            "stay": {system: native for system, native in pair.loser.natives().items() if system not in moved},
        },
        "number": {"value": number, "becomes": becomes},
        "both_at_authority": both,
        "document": "loser" if pair.authority in moved else "winner",
        "told": told(pair),
        "tombstones": list(pair.loser.tombstones),
    }


def of_split(pair: Pair, done: Merge) -> dict[str, Any]:
    """The same of the way back from ``done``."""
    assert done.moved is not None
    return {
        **_head(pair, MergeKind.SPLIT),
        "undoes": done.id,
        "links": {"moved": done.moved.links, "stay": {}},
        "number": {"value": done.moved.number, "becomes": "none" if done.moved.number is None else "given_back"},
        "document": "loser" if done.moved.turned else "winner",
        "told": None,
        "tombstones": list(done.moved.tombstones),
    }


def against_split(connection: Connection, pair: Pair, done: Merge) -> list[FieldError]:
    """What stands against the way back."""
    loser, winner, moved = pair.loser, pair.winner, done.moved
    assert moved is not None
    failures = _busy(pair, "/id")
    if winner.merged_into is not None:
        failures.append(
            _failure("tombstone", f"{winner.id} was merged into {winner.merged_into}: part those first", "/id")
        )
    elif loser.merged_into != winner.id:
        failures.append(_failure("over", f"{loser.id} is not taken for {winner.id} any more", "/id"))
    if winner.seq != moved.seq:
        failures.append(_failure("written", f"{winner.id} was written to since, and that is of both", "/id"))
    if any(
        winner.links.get(system) is None or winner.links[system].native_id != native
        for system, native in moved.links.items()
    ):
        failures.append(_failure("links", "what it has moved is linked in another way now", "/id"))
    before = number_of(moved.image, pair.entity) if moved.turned else None
    failures += [
        _failure("number", f"the number {number!r} is that of {taken} now", "/id")
        for number in (moved.number, before)
        if number is not None and (taken := _taken(connection, pair, number)) is not None
    ]
    if moved.told:
        message = "the merge has told a mirror what they became, and what that held before is kept nowhere"
        failures.append(_failure("mirror_written", message, "/id"))
    return failures


def _taken(connection: Connection, pair: Pair, number: str) -> str | None:
    """Another record that has the number by now."""
    holder = connection.execute(
        select(natural_key.c.record_id).where(
            natural_key.c.entity == pair.entity,
            natural_key.c.scope == (pair.loser.legal_entity or ""),
            natural_key.c.value == number,
        )
    ).scalar_one_or_none()
    return None if holder in (None, pair.loser.id, pair.winner.id) else holder


def _head(pair: Pair, kind: MergeKind) -> dict[str, Any]:
    current = pair.slice
    return {
        "kind": kind.value,
        "slice": {
            "entity": current.entity,
            "region": current.region,
            "stage": current.stage.value,
            "authority": pair.authority,
        },
        "loser": _told(pair, pair.loser),
        "winner": _told(pair, pair.winner),
    }


def _told(pair: Pair, one: Record) -> dict[str, Any]:
    return {
        "id": one.id,
        "version": one.version,
        "seq": one.seq,
        "number": one.number(pair.entity),
        "links": one.natives(),
    }
