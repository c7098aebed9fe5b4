"""Two products and one entity: what a value that the first one holds is after the way through the second."""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Mapping
from typing import Any

import msgspec

from adapters.profile import Profile, load
from gateway.canonical import BY_NAME, Entity
from gateway.proof.prover import Prover
from gateway.proof.verdict import LOSSES, FieldProof, Finding, Loss, Outcome, PairField, PairProof, told


def prove_pair(entity: Entity, first: Profile, second: Profile) -> PairProof:
    """The entity on the way first → canon → second → canon → first."""
    steps = _proving(entity, first, second)
    while True:
        try:
            next(steps)
        except StopIteration as done:
            return done.value


class Proofs:
    """The pairs of the systems of one process, by the profile that each has. What is proved once is kept: a profile
    does not change while a process runs."""

    def __init__(self, profiles: Mapping[str, str]) -> None:
        self._profiles = profiles
        self._known: dict[tuple[str, str, str], PairProof] = {}

    async def of(self, entity: str, first: str, second: str) -> PairProof | None:
        """The proof from system ``first`` to ``second``; None where one of them is not in the settings. Raises
        Misconfigured for a profile that cannot be read."""
        if first not in self._profiles or second not in self._profiles:
            return None
        key = entity, first, second
        if key not in self._known:
            steps = _proving(BY_NAME[entity], load(self._profiles[first]), load(self._profiles[second]))
            while key not in self._known:
                try:
                    next(steps)
                except StopIteration as done:
                    self._known[key] = done.value
                # It takes a good part of a second; callers of this process are served between two fields.
                await asyncio.sleep(0)
        return self._known[key]

    async def notices(self, entity: str, authority: str, mirror: str) -> tuple[Notice, ...] | None:
        """What a person should know before writes are mirrored; None where a system is not in the settings."""
        proof = await self.of(entity, authority, mirror)
        return None if proof is None else notices(proof)


def _proving(entity: Entity, first: Profile, second: Profile) -> Generator[None, None, PairProof]:
    """Field by field, so that whoever proves may do something else in between."""
    one, two = Prover(entity, first), Prover(entity, second)
    here: list[FieldProof] = []
    there: list[FieldProof] = []
    fields: list[PairField] = []
    for path in one.domains:
        here.append(one.field(path))
        yield
        there.append(two.field(path))
        yield
        fields.append(_field(one, two, here[-1], there[-1]))
        yield
    return PairProof(
        entity=entity.name,
        first=one.summed(here),
        second=two.summed(there),
        fields=tuple(fields),
    )


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """What a person should know of one field before writes are mirrored to the second product."""

    path: str
    words: str
    blocks: bool = False  #: the move needs an override
    lost: bool = (
        False  #: a value that the first product holds is lost, not only one that it cannot hold either
    )


def notices(proof: PairProof) -> tuple[Notice, ...]:
    """Everything that the compare policy looks at and that the second product loses: what blocks comes first, then what
    is lost of the values that are there."""
    found = [
        Notice(path=path, words=words, blocks=True, lost=True) for path, words in proof.second.blocking_fields
    ]
    blocked = {one.path for one in found}
    for field in proof.fields:
        if not field.significant or field.path.partition("[]")[0].partition(".")[0] in blocked:
            continue
        finding = field.finding if field.outcome is Outcome.LOST else None
        lost = finding is not None
        words = [] if finding is None else [told(finding)]
        words += [
            told(one) for one in field.second.findings if finding is None or one.loss is not finding.loss
        ]
        if words:
            found.append(Notice(path=field.path, words="; ".join(words), lost=lost))
    return tuple(sorted(found, key=lambda one: (not one.blocks, not one.lost)))


def _field(one: Prover, two: Prover, here: FieldProof, there: FieldProof) -> PairField:
    path = here.path

    def judged(outcome: Outcome, finding: Finding | None = None) -> PairField:
        significant = here.significant and there.significant
        return PairField(
            path=path, significant=significant, outcome=outcome, first=here, second=there, finding=finding
        )

    known = {finding.loss: finding for finding in there.findings}
    if any(finding.loss is Loss.NOT_MAPPED for finding in here.findings):
        return judged(Outcome.NOT_HELD)
    if Loss.NOT_MAPPED in known:
        held = next(
            (image for value in one.probes(path) if (image := _held(one, path, value)) is not None), None
        )
        return judged(Outcome.LOST, msgspec.structs.replace(known[Loss.NOT_MAPPED], example=held))
    lost = _lost(one, two, path)
    if lost is not None:
        return judged(Outcome.LOST, lost)
    for loss in (Loss.UNREACHABLE, Loss.SET_ONCE):
        if loss in known:
            return judged(Outcome.LOST, known[loss])
    unproven = [finding for finding in (*there.findings, *here.findings) if not LOSSES[finding.loss].loses]
    unproven = [finding for finding in unproven if finding.loss is not Loss.OWN_NUMBER]
    # That the first product fills a field by itself takes nothing from what it has filled in.
    unproven = [finding for finding in unproven if finding in there.findings or finding.loss is Loss.NOT_READ]
    return judged(Outcome.UNPROVEN, unproven[0]) if unproven else judged(Outcome.EXACT)


def _held(one: Prover, path: str, value: Any) -> Any:
    """What the product has once it was given the value; None: nothing."""
    image = one.image(path, value)
    return image.value if image.refused is None else None


def _lost(one: Prover, two: Prover, path: str) -> Finding | None:
    """The first value of ``one`` that ``two`` does not give back, or that does not come home."""
    if any(not form.readable for prover in (one, two) for form in prover.forms(path)):
        return None
    tried: list[Any] = []
    for value in (*two.probes(path), *one.probes(path)):
        held = _held(one, path, value)
        if any(held == other for other in tried):
            continue
        tried.append(held)
        there = two.image(path, held)
        if there.refused is not None:
            return two.finding(path, held, there)
        if not two.same(path, held, there.value):
            return two.finding(path, held, there)
        home = one.image(path, there.value)
        if home.refused is not None or not one.same(path, held, home.value):
            return one.finding(path, held, home)
    return None
