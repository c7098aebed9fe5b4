"""``twinrun adapters prove``: what of every field survives the way from one product through another and back."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from cyclopts import Parameter

from adapters.profile import Profile, load, names
from gateway import settings as settings_room
from gateway.canonical import BY_NAME, Entity
from gateway.cli import codes
from gateway.cli.screen import Json, put_json, put_table, say
from gateway.errors import Malformed
from gateway.proof import FieldProof, Outcome, PairField, PairProof, prove_pair, shown, told
from gateway.proof import sample as sampling
from gateway.proof.sample import Sampled
from gateway.settings import Settings
from gateway.systems import open_systems

#: The flag for those who want to see the whole list.
Every = Annotated[
    bool, Parameter(name="--all", negative="", help="Show also the fields that lose nothing anywhere.")
]
MOST_SAMPLED = 100_000


def prove(
    first: str = "legacy",
    second: str = "cloud",
    /,
    *,
    entity: str | None = None,
    sample: int = 0,
    every: Every = False,
    json: Json = False,
) -> int:
    """What of every field survives the way from one product through another and back, with a counterexample.

    Exit code 0: all that the compare policy looks at survives. 1: something of it is lost. 3: nobody can say.

    Parameters
    ----------
    first:
        A system of the settings, the name of a profile that ships, or the path of a TOML file. Default: legacy.
    second:
        The other one. Default: cloud.
    entity:
        Only this entity.
    sample:
        Also read so many records of each entity from the first system, and take them the same way. Nothing is written.
    """
    if entity is not None and entity not in BY_NAME:
        raise Malformed(f"--entity {entity!r}; allowed are {', '.join(BY_NAME)}")
    if not 0 <= sample <= MOST_SAMPLED:
        raise Malformed(f"--sample {sample}; allowed is 0 to {MOST_SAMPLED}")
    wanted = [one for one in BY_NAME.values() if entity in (None, one.name)]
    profiles = _profile(first), _profile(second)
    proofs = [prove_pair(one, *profiles) for one in wanted]
    sampled = asyncio.run(_sampled(wanted, first, second, sample)) if sample else []
    if json:
        put_json(_document(profiles, proofs, sampled))
    else:
        _print(profiles, proofs, sampled, every=every)
    return code(proofs, sampled)


def code(proofs: Sequence[PairProof], sampled: Sequence[Sampled]) -> int:
    """A loss that was seen decides before what nobody can say."""
    outcomes = {one.outcome for one in proofs}
    if Outcome.LOST in outcomes or any(one.losing for one in sampled):
        return codes.DIFFER
    return codes.UNSURE if Outcome.UNPROVEN in outcomes or any(one.unread for one in sampled) else codes.PASS


def _profile(name: str) -> Profile:
    if name.endswith(".toml") or name in names():
        return load(name)
    return load(_system(settings_room.load(), name).profile)


def _system(settings: Settings, name: str) -> settings_room.SystemSettings:
    if name not in settings.systems:
        raise Malformed(
            f"{name!r} is neither a system of the settings ({', '.join(settings.systems)}) "
            f"nor a profile ({', '.join(names())}) nor the path of a .toml file"
        )
    return settings.systems[name]


async def _sampled(wanted: Sequence[Entity], first: str, second: str, count: int) -> list[Sampled]:
    settings = settings_room.load()
    chosen = [_named(settings, name) for name in (first, second)]
    adapters = open_systems(settings)
    try:
        return [
            await sampling.sample(one, adapters[chosen[0]], adapters[chosen[1]], count, progress=_progress)
            for one in wanted
        ]
    finally:
        for adapter in adapters.values():
            await adapter.close()


def _named(settings: Settings, name: str) -> str:
    """The system of the settings that is called so, or that has this profile."""
    if name in settings.systems:
        return name
    for system, given in settings.systems.items():
        if given.profile == name:
            return system
    raise Malformed(
        f"--sample reads from a running system, and no system of the settings has the profile {name!r}"
    )


def _progress(entity: str, read: int) -> None:
    if sys.stderr.isatty():
        say(f"{entity}: {read} records read")


def _document(
    profiles: tuple[Profile, Profile], proofs: Sequence[PairProof], sampled: Sequence[Sampled]
) -> Mapping[str, Any]:
    first, second = (f"{one.product} {one.version}" for one in profiles)
    return {
        "first": first,
        "second": second,
        "entities": [
            {
                "entity": proof.entity,
                "outcome": proof.outcome,
                "blocking": {first: proof.first.blocking, second: proof.second.blocking},
                "fields": proof.fields,
            }
            for proof in proofs
        ],
        "samples": sampled,
    }


def _print(
    profiles: tuple[Profile, Profile],
    proofs: Sequence[PairProof],
    sampled: Sequence[Sampled],
    *,
    every: bool,
) -> None:
    first, second = (one.product for one in profiles)
    put_table(
        (
            "entity",
            "round trip",
            "exact",
            "lost",
            "unproven",
            "not held",
            f"in the way of a mirror in {second}",
        ),
        [
            (
                proof.entity,
                proof.outcome.value,
                *(sum(field.outcome is one for field in proof.fields) for one in Outcome),
                "; ".join(proof.second.blocking) or None,
            )
            for proof in proofs
        ],
        title=f"{first} → canon → {second} → canon → {first}",
        right=("exact", "lost", "unproven", "not held"),
    )
    rows = [
        (proof.entity, field)
        for proof in proofs
        for field in proof.fields
        if every or field.outcome is not Outcome.EXACT or field.first.findings or field.second.findings
    ]
    if rows:
        put_table(
            ("entity", "field", "round trip", f"canon → {first}", f"canon → {second}", "shown by"),
            [
                (entity, field.path + ("" if field.significant else " *"), field.outcome.value,
                 _brief(field.first), _brief(field.second), _shown_by(field))
                for entity, field in rows
            ],
            title="\nWhat is lost of a field",
        )  # fmt: skip
        if any(not field.significant for _, field in rows):
            say("* no rule compares the field, so it does not count")
    for one in sampled:
        if one.unread is not None:
            say(f"{one.entity}: nothing tried, {one.unread}")
        else:
            say(f"{one.entity}: {one.read} records tried, {one.losing} lose something")
    losses = [(one.entity, loss) for one in sampled for loss in one.lost]
    if losses:
        put_table(
            ("entity", "record", "field", "class", "holds", "becomes"),
            [
                (entity, loss.native_id, loss.path, loss.kind, shown(loss.holds), shown(loss.becomes))
                for entity, loss in losses
            ],
            title="\nRecords that lose something",
        )


def _brief(proof: FieldProof) -> str:
    found = list(dict.fromkeys(one.loss.value for one in proof.findings))
    if not found:
        return "exact"
    if not proof.total:
        found.append("not total")
    if not proof.injective:
        found.append("not injective")
    return ", ".join(found).replace("_", " ")


def _shown_by(field: PairField) -> str | None:
    if field.finding is not None:
        return told(field.finding)
    found = [*field.second.findings, *field.first.findings]
    return told(found[0]) if found else None
