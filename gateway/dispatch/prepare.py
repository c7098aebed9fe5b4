"""What a claim has to become before it can be sent: one call in the product's own ids.

References are exchanged for native ids, and a record that the system may hold since long before us is matched, so
that it is changed and not made again. The system is only read here; nothing of the write itself leaves.
"""

from __future__ import annotations

from typing import Any

from adapters.contract import Adapter, Capability, Found, Idempotency, Write
from gateway.canonical import BY_NAME
from gateway.crosswalk.store import Link
from gateway.dispatch.claim import Claim
from gateway.dispatch.command import Document
from gateway.dispatch.matching import Marks, Wanted, free, marks_of, matches
from gateway.dispatch.records import Records
from gateway.dispatch.translate import references, translated

_CAPABILITY = {
    "create": Capability.CREATE,
    "update": Capability.UPDATE,
    "transition": Capability.TRANSITION,
}


class ReferenceMissing(Exception):
    """A record that this one refers to is not in that system yet."""

    def __init__(self, pointer: str, record_id: str) -> None:
        super().__init__(f"{pointer}: {record_id} is not in this system yet")
        self.pointer = pointer
        self.record_id = record_id


class ReferenceRefused(Exception):
    """A record that this one refers to was itself refused, so it will never be there."""

    def __init__(self, pointer: str, record_id: str) -> None:
        super().__init__(f"{pointer}: {record_id} was refused")
        self.pointer = pointer


class NotOffered(Exception):
    """The profile has no such call for this kind of record, so trying again is of no use."""


class MatchUnclear(Exception):
    """Which record of the system it is cannot be said. ``code``: what its delivery ends with."""

    code = ""


class AmbiguousMatch(MatchUnclear):
    """The system holds several records that this may be, so a person has to say which; never is another one made."""

    code = "ambiguous_match"


class MatchTaken(MatchUnclear):
    """The system holds a record with this number, and it is another canonical record's."""

    code = "collision"


class EditedMeanwhile(Exception):
    """Somebody has edited the record in that system, and the change feed is to take that in first."""


class Preparation:
    """``write`` gives the call that a claim stands for, and its kind: create, update or transition."""

    def __init__(self, records: Records) -> None:
        self._records = records

    async def write(self, adapter: Adapter, claim: Claim) -> tuple[Write, str]:
        entity = BY_NAME[claim.entity]
        facts = adapter.facts(claim.entity)
        native_id, native_version = claim.native_id, claim.native_version
        if (native_id is None and claim.kind != "create") or (claim.native_id is None and claim.maybe_sent):
            known = await self._records.one(claim.record_id)
            if known is not None and claim.system in known.links:
                native_id = known.links[claim.system].native_id
                native_version = known.links[claim.system].native_version
        if native_id is None and not (claim.kind == "create" and claim.role == "authority"):
            # A mirror may hold the record since long before us; then it is changed and not made again.
            found = await self.match(adapter, claim)
            if found is not None:
                await self._must_be_free(adapter, claim, found)
                native_id, native_version = found.native_id, found.native_version
        image = claim.image
        await self._must_be_unedited(adapter, claim)
        if native_id is not None and (
            claim.role == "authority" or entity.lane_mode == "strict" or claim.named_only
        ):
            # Only what the write changed: somebody in the ERP may have edited another field meanwhile. A mirror
            # of master data takes the whole state instead, because writes before this one may have been overtaken.
            # A repair was approved for the fields that it names.
            if claim.kind == "update":
                image = {name: image.get(name) for name in claim.change}
            elif claim.kind == "transition":
                image = {"state": image["state"]}
        elif claim.native_id is not None:
            given = await self._records.last_given(claim.record_id, claim.system)
            if given is not None:
                # All that has changed since this mirror was given the record last, whatever was overtaken meanwhile:
                # what somebody has edited there in other fields is not ours to write over.
                names = sorted({*given, *image})
                image = {name: image.get(name) for name in names if given.get(name) != image.get(name)}
                image.update({name: claim.image.get(name) for name in _asked(claim)})
        fields = await self._native(adapter, claim, image)
        write = Write(
            entity=claim.entity,
            marker=claim.marker,
            external_id=claim.record_id,
            fields={name: value for name, value in fields.items() if name in facts.mapped},
            beside=translated(entity, claim.image, _left_out),
            native_id=native_id,
            native_version=native_version,
            to_state=claim.image["state"] if claim.kind == "transition" else None,
            headers=claim.trace,
        )
        # Of a record whose states the product does not know, the gateway keeps the state; the product gets the marker.
        moves = claim.kind == "transition" and "state" in facts.mapped
        kind = "create" if native_id is None else "transition" if moves else "update"
        if _CAPABILITY[kind] not in facts.capabilities:
            raise NotOffered(f"{adapter.name} does not offer to {kind} {entity.collection}")
        return write, kind

    def spares(self, adapter: Adapter, claim: Claim) -> bool:
        """Whether an edit that was made in this system meanwhile is to be taken in before the write goes there."""
        followed = Capability.CHANGES in adapter.facts(claim.entity).capabilities
        return claim.role == "mirror" and followed and self._records.spare_edits

    async def _must_be_unedited(self, adapter: Adapter, claim: Claim) -> None:
        """A product that refuses a stale write says it by itself; of another one the record is read first."""
        if (
            claim.native_id is None
            or claim.native_version is None
            or adapter.facts(claim.entity).conditional
            or not self.spares(adapter, claim)
        ):
            return
        found = await adapter.fetch(claim.entity, claim.native_id)
        if found.native_version not in (None, claim.native_version) and found.marker != claim.marker:
            raise EditedMeanwhile(f"{adapter.name} shows version {found.native_version}, which is not ours")

    async def _must_be_free(self, adapter: Adapter, claim: Claim, found: Found) -> None:
        key = (adapter.name, claim.entity, found.native_id)
        holder = (await self._records.holders([key])).get(key)
        if holder is not None and holder.holder != claim.record_id:
            raise MatchTaken(f"{adapter.name} has it as {found.native_id}, which is {holder.holder}")

    async def _native(self, adapter: Adapter, claim: Claim, image: Document) -> dict[str, Any]:
        """The image with native ids. Raises ReferenceMissing for a record that the system does not hold."""
        entity = BY_NAME[claim.entity]
        named = list(references(entity, image))
        natives = await self._records.native_ids(adapter.name, [record_id for _, _, record_id in named])
        for pointer, owner, record_id in named:
            if record_id in natives:
                continue
            if not adapter.supports(owner):
                continue
            native = await self._match_reference(adapter, owner, pointer, record_id)
            if native is None:
                raise ReferenceMissing(pointer, record_id)
            natives[record_id] = native
        return translated(entity, image, lambda _, record_id: natives.get(record_id))

    async def _match_reference(
        self, adapter: Adapter, entity: str, pointer: str, record_id: str
    ) -> str | None:
        view = await self._records.meant(record_id)
        if view is None:
            return None
        record_id = view.id
        if view.version == 0 and view.open_writes == 0:
            raise ReferenceRefused(pointer, record_id)
        if adapter.name in view.links:
            return view.links[adapter.name].native_id
        found = await find_match(
            adapter, entity, record_id, view.match_key, view.legal_entity, view.image
        )
        if found is None:
            return None
        kept = await self._records.keep_link(found_link(adapter, entity, record_id, found))
        return found.native_id if kept else None

    async def match(self, adapter: Adapter, claim: Claim) -> Found | None:
        """The record that the system already holds for this canonical one, if exactly one fits."""
        entity = BY_NAME[claim.entity]
        value = claim.image.get(entity.match_key)
        legal_entity = claim.image.get("legal_entity") or claim.legal_entity
        if claim.kind == "create":
            # Just made upstream: only a unique key can say that the system had it already, and a system that
            # upserts on our id needs no look for that id.
            if entity.natural_key is None or not value:
                return None
            found, whole = await find_matches(adapter, claim.entity, None, str(value), legal_entity)
        else:
            marks: Marks = {}
            if entity.told_apart_by:
                named = [record_id for _, _, record_id in references(entity, claim.image)]
                natives = await self._records.native_ids(adapter.name, named)
                marks = marks_of(adapter, entity, claim.image, natives)
            found, whole = await find_matches(
                adapter, claim.entity, claim.record_id, str(value) if value else None, legal_entity, marks
            )
            looked = await free(self._records, adapter.name, entity, {claim.record_id: (found, whole)})
            found, whole = looked[claim.record_id]
        if len(found) > 1 or not whole:
            raise AmbiguousMatch(f"{adapter.name} holds several with {entity.match_key} {value}")
        return found[0] if found else None


def _asked(claim: Claim) -> tuple[str, ...]:
    """The fields that the write itself names: also those that are to be put back as they were."""
    return ("state",) if claim.kind == "transition" else tuple(claim.change)


def _left_out(entity: str, record_id: str) -> str | None:
    return None


async def look(adapter: Adapter, claim: Claim) -> tuple[Found, ...]:
    """Records in the system that may be what this delivery did, by every means that the profile gives us."""
    facts = adapter.facts(claim.entity)
    if claim.native_id is not None:
        return (await adapter.fetch(claim.entity, claim.native_id),)
    if facts.idempotency is Idempotency.E_NOTHING:
        return ()
    if facts.idempotency is Idempotency.B_EXTERNAL_ID:
        return await adapter.find(claim.entity, external_id=claim.record_id)
    return await adapter.find(claim.entity, marker=claim.marker)


async def find_match(
    adapter: Adapter,
    entity_name: str,
    record_id: str | None,
    match_key: str | None,
    legal_entity: str | None,
    image: Document | None = None,
) -> Found | None:
    """The one record of a system that is this canonical record: by our id, else by its match key, unless ``image``
    says that it is another one with this key."""
    marks = marks_of(adapter, BY_NAME[entity_name], image, {})
    found, whole = await find_matches(adapter, entity_name, record_id, match_key, legal_entity, marks)
    return found[0] if len(found) == 1 and whole else None


async def find_matches(
    adapter: Adapter,
    entity_name: str,
    record_id: str | None,
    match_key: str | None,
    legal_entity: str | None,
    marks: Marks | None = None,
) -> tuple[tuple[Found, ...], bool]:
    """The records of a system that this canonical record may be, and whether that is all of them. ``marks`` tell it
    from others with its match key."""
    wanted = Wanted(
        record_id=record_id or "", match_key=match_key, legal_entity=legal_entity, marks=marks or {}
    )
    return await matches(adapter, entity_name, record_id, wanted)


def found_link(adapter: Adapter, entity: str, record_id: str, found: Found) -> Link:
    return Link(
        record_id=record_id,
        system=adapter.name,
        entity=entity,
        native_id=found.native_id,
        native_version=found.native_version,
    )
