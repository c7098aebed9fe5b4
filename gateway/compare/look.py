"""One look at one record: reads what has to be read and finds where the sides part. Touches no database of
ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from adapters.contract import Facts
from adapters.errors import AdapterError, NotFound, Rejected, Unavailable
from gateway.canonical import Entity
from gateway.compare.differ import NOISE, compared_values, diff
from gateway.compare.difference import WHOLE_RECORD, Difference, DifferenceClass, Diffs, Document
from gateway.compare.observation import Held, Reading, Sides
from gateway.compare.verdict import Sight, fingerprint, keyed_hash

#: How fields of an entity would read after a round trip through a system: its declared losses applied.
ExpectOf = Callable[[str, str, dict[str, Any]], Mapping[str, Any]]
#: What a system's profile declares of an entity, or None where it does not carry it.
FactsOf = Callable[[str, str], Facts | None]


class NoAnswer(Exception):
    """A side did not answer. Nothing can be said; look again later."""


class NeitherHasIt(Exception):
    """Neither side has a record to compare."""


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """A side answered, definitely, without a document."""

    missing: bool
    code: str | None

    @property
    def shown(self) -> str:
        return "no such record" if self.missing else f"refused ({self.code or 'no code'})"


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What a look saw. ``wobbled``: the authority answered two ways within it. ``shown``: the last write of ours that
    each system has shown, by its marker. ``readings``: what each system holds; none of one that holds none."""

    diffs: Diffs
    sight: Sight
    wobbled: bool = False
    shown: Mapping[str, str | None] = {}
    readings: Mapping[str, Reading] = {}


class Eye:
    """Reads and compares; knows the systems' declared losses and the key of the hashes."""

    def __init__(self, *, sides: Sides, expect: ExpectOf, facts: FactsOf, key: bytes) -> None:
        self._sides = sides
        self._expect = expect
        self._facts = facts
        self._key = key
        self._scope: dict[tuple[str, str, str], tuple[frozenset[str], frozenset[str]]] = {}

    async def beside(
        self,
        entity: Entity,
        authority: str,
        other: str,
        record_id: str,
        document: Document,
        *,
        held: Held | None = None,
    ) -> tuple[Diffs, Sight | None]:
        """Compares an answer of the authority with what the other side holds now. The sight is there if they
        part."""
        candidate = _document(await self._read(other, entity, record_id, held))
        diffs = self._parted(entity, authority, other, document, candidate)
        if not diffs.open:
            return diffs, None
        return diffs, self._sight(entity, authority, other, document, candidate, diffs)

    async def both(
        self, entity: Entity, authority: str, other: str, record_id: str, *, held: Mapping[str, Held]
    ) -> Seen:
        """Reads authority and other side, and the authority once more where they part: a value that the
        authority itself has shown in one of two answers is noise, another is not, however noisy its field."""
        left = await self._read(authority, entity, record_id, held.get(authority))
        right = await self._read(other, entity, record_id, held.get(other))
        control, candidate = _document(left), _document(right)
        diffs = self._parted(entity, authority, other, control, candidate)
        wobbled = False
        if diffs.open:
            second = _document(await self._read(authority, entity, record_id, held.get(authority)))
            wobbled = self._settled(entity, authority, other, control) != self._settled(
                entity, authority, other, second
            )
            if wobbled:
                diffs = _excused(diffs, self._parted(entity, authority, other, second, candidate))
        return Seen(
            diffs=diffs,
            sight=self._sight(entity, authority, other, control, candidate, diffs),
            wobbled=wobbled,
            shown={authority: _marker(left), other: _marker(right)},
            readings={
                system: reading
                for system, reading in ((authority, left), (other, right))
                if isinstance(reading, Reading)
            },
        )

    async def alone(self, entity: Entity, system: str, record_id: str, *, held: Held) -> Document | None:
        """The record as one system holds it; None: it does not. Raises NoAnswer, also where it is refused."""
        found = await self._read(system, entity, record_id, held)
        if isinstance(found, Reading):
            return found.document
        if found.missing:
            return None
        raise NoAnswer(found.shown)

    def documents(
        self,
        entity: Entity,
        authority: str,
        other: str,
        control: Document | None,
        candidate: Document | None,
    ) -> Diffs:
        """Where two documents part that somebody has read; None: that side has no such record. Reads nothing. Raises
        NeitherHasIt."""
        gone = Refusal(missing=True, code=None)
        return self._parted(entity, authority, other, control or gone, candidate or gone)

    def values(self, entity: Entity, authority: str, other: str, document: Document) -> bytes:
        """Everything of ``document`` that comparing these two systems looks at, in one spelling."""
        return self._settled(entity, authority, other, document)

    def shared(self, entity: Entity, authority: str, other: str) -> frozenset[str]:
        """The fields that both systems hold."""
        return frozenset(entity.policy.members("")) - self._scope_of(entity, authority, other)[0]

    def _sight(
        self,
        entity: Entity,
        authority: str,
        other: str,
        control: Document | Refusal,
        candidate: Document | Refusal,
        diffs: Diffs,
    ) -> Sight:
        sides = b"\n".join(self._settled(entity, authority, other, side) for side in (control, candidate))
        return Sight(
            fingerprint=fingerprint(diffs.open, self._key), sides=keyed_hash(sides, self._key, digits=24)
        )

    async def _read(
        self, system: str, entity: Entity, record_id: str, held: Held | None
    ) -> Reading | Refusal:
        """What the system answers."""
        try:
            return await self._sides.read(system, entity.name, record_id, held=held)
        except NotFound as missing:
            return Refusal(missing=True, code=missing.code)
        except Unavailable as silent:
            raise NoAnswer(type(silent).__name__) from silent
        except Rejected as refused:
            return Refusal(missing=False, code=refused.code)
        except AdapterError as unclear:
            raise NoAnswer(type(unclear).__name__) from unclear

    def _parted(
        self,
        entity: Entity,
        authority: str,
        other: str,
        control: Document | Refusal,
        candidate: Document | Refusal,
    ) -> Diffs:
        if isinstance(control, Refusal) or isinstance(candidate, Refusal):
            return _one_refused(control, candidate)
        not_mapped, own_numbers = self._scope_of(entity, authority, other)
        return diff(
            entity,
            control,
            candidate,
            not_mapped=not_mapped,
            own_numbers=own_numbers,
            expect_control=lambda fields: self._expect(authority, entity.name, fields),
            expect_candidate=lambda fields: self._expect(other, entity.name, fields),
        )

    def _settled(self, entity: Entity, authority: str, other: str, side: Document | Refusal) -> bytes:
        if isinstance(side, Refusal):
            return side.shown.encode()
        return compared_values(entity, side, not_mapped=self._scope_of(entity, authority, other)[0])

    def _scope_of(self, entity: Entity, authority: str, other: str) -> tuple[frozenset[str], frozenset[str]]:
        """Fields that one of the two does not hold, and fields that one of the two numbers itself."""
        known = self._scope.get((entity.name, authority, other))
        if known is None:
            named = frozenset(entity.policy.members(""))
            not_mapped: frozenset[str] = frozenset()
            own_numbers: frozenset[str] = frozenset()
            for system in (authority, other):
                facts = self._facts(system, entity.name)
                not_mapped |= named if facts is None else named - facts.mapped
                own_numbers |= frozenset() if facts is None else facts.assigned
            known = self._scope[entity.name, authority, other] = not_mapped, own_numbers
        return known


def _document(side: Reading | Refusal) -> Document | Refusal:
    return side.document if isinstance(side, Reading) else side


def _marker(side: Reading | Refusal) -> str | None:
    return side.marker if isinstance(side, Reading) else None


def _one_refused(control: Document | Refusal, candidate: Document | Refusal) -> Diffs:
    """One side has no document. Where neither has, nothing was compared, and that is not agreement, not even where both
    refuse with the same words: a right that was taken from us in both systems would make everything equal. But that one
    refuses to show what the other does not hold is a difference."""
    if isinstance(control, Refusal) and isinstance(candidate, Refusal):
        if control.missing is candidate.missing:
            raise NeitherHasIt(f"{control.shown}; {candidate.shown}")
        return _whole_record(DifferenceClass.DIFFERENT_ERRORS, control.shown, candidate.shown)
    refusal = control if isinstance(control, Refusal) else candidate
    assert isinstance(refusal, Refusal)
    if not refusal.missing:
        kind = DifferenceClass.ERROR_AGAINST_SUCCESS
    else:
        kind = DifferenceClass.EXTRA if refusal is control else DifferenceClass.MISSING
    return _whole_record(
        kind,
        refusal.shown if refusal is control else "a record",
        refusal.shown if refusal is candidate else "a record",
    )


def _whole_record(kind: DifferenceClass, control: str, candidate: str) -> Diffs:
    found = Difference(
        path=WHOLE_RECORD, field=WHOLE_RECORD, kind=kind, control=control, candidate=candidate
    )
    return Diffs(differences=(found,), compared=1)


def _excused(first: Diffs, second: Diffs) -> Diffs:
    """What parts from both answers of the authority is open; what only parts from the first is noise, because the other
    side has what the authority itself has shown in the second.

    Where one of the answers lacks a whole part and the other has it, a value within that part which the other side
    alone has is open: the part comes and goes, the value was never shown.
    """
    open_: list[Difference] = []
    excused: list[Difference] = []
    for found in first.differences:
        if found.explained is not None:
            excused.append(found)
            continue
        again = [one for one in second.open if _around(found.path, one.path)]
        within = [one for one in second.open if _around(one.path, found.path) and one.path != found.path]
        if again:
            # The same place parts again, or the second answer lacks the whole part that it is in.
            open_.append(found)
        elif within:
            open_.extend(within)
        else:
            excused.append(msgspec.structs.replace(found, explained=NOISE))
    return msgspec.structs.replace(first, differences=(*open_, *excused))


def _around(inner: str, outer: str) -> bool:
    """Whether ``inner`` is ``outer`` or a place within it."""
    return outer in (WHOLE_RECORD, inner) or inner.startswith((outer + ".", outer + "["))
