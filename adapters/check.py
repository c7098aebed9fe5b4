"""What a profile must offer so that a migration can rely on it: RULES, each judged by the profile alone.

A rule is *done*, *todo* (it could be met, and what is missing is named) or *exempt* (it has nothing to say
here). The *grade* is the best evidence there is for the profile's facts: simulated, recorded or live.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Literal

import msgspec

from adapters.contract import Capability, Idempotency
from adapters.mapping import compile_profile
from adapters.profile import EntityProfile, FieldForm, Profile, as_form

Standing = Literal["done", "todo", "exempt"]

WRITES = frozenset({Capability.CREATE, Capability.UPDATE, Capability.TRANSITION})
#: Characters that keep 80 bits of a marker whose end is hexadecimal.
MARKER_MINIMUM = 20
#: A day or month at which somebody read the source.
_READ = re.compile(r"\bread (\d{4}-\d{2})")


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    rule: str
    law: str
    standing: Standing
    missing: tuple[str, ...] = ()  #: what is missing, entity by entity


class Rule(msgspec.Struct, frozen=True):
    """Positional on purpose: it is written once, as the table below. ``judge`` names what is missing; None:
    exempt."""

    name: str
    law: str
    judge: Callable[[Profile], tuple[str, ...] | None]


def check(profile: Profile) -> tuple[Finding, ...]:
    """Every rule held against ``profile``."""
    found: list[Finding] = []
    for rule in RULES:
        missing = rule.judge(profile)
        standing: Standing = "exempt" if missing is None else "todo" if missing else "done"
        found.append(Finding(rule=rule.name, law=rule.law, standing=standing, missing=missing or ()))
    return tuple(found)


def _sourced(profile: Profile) -> tuple[str, ...]:
    return () if _READ.search(profile.source) else ("source does not say when it was read",)


def _compiles(profile: Profile) -> tuple[str, ...]:
    compile_profile(profile)
    return ()


def _written(profile: Profile) -> Iterator[tuple[str, EntityProfile]]:
    return ((name, spec) for name, spec in profile.entities.items() if spec.capabilities & WRITES)


def _of_written(wrong: Callable[[EntityProfile], str | None]) -> Callable[[Profile], tuple[str, ...] | None]:
    """A rule about entities that are written; a product that is only read is exempt."""

    def judge(profile: Profile) -> tuple[str, ...] | None:
        written = list(_written(profile))
        if not written:
            return None
        return tuple(f"{name}: {reason}" for name, spec in written if (reason := wrong(spec)) is not None)

    return judge


def _of_all(wrong: Callable[[EntityProfile], str | None]) -> Callable[[Profile], tuple[str, ...]]:
    def judge(profile: Profile) -> tuple[str, ...]:
        return tuple(
            f"{name}: {reason}"
            for name, spec in profile.entities.items()
            if (reason := wrong(spec)) is not None
        )

    return judge


def _marked(spec: EntityProfile) -> str | None:
    return None if spec.marker is not None or spec.external is not None else "neither marker nor external_id"


def _found_again(spec: EntityProfile) -> str | None:
    if spec.idempotency is Idempotency.A_NATIVE_KEY or Capability.FIND in spec.capabilities:
        return None
    return "a write of unknown outcome cannot be looked up: no capability find"


def _not_doubled(spec: EntityProfile) -> str | None:
    return (
        "class E: nothing keeps a write from being done twice"
        if spec.idempotency is Idempotency.E_NOTHING
        else None
    )


def _careful(spec: EntityProfile) -> str | None:
    if Capability.UPDATE not in spec.capabilities or spec.conditional:
        return None
    return "an update is not conditional, so a change made in the ERP meanwhile is overwritten"


def _stamped(spec: EntityProfile) -> str | None:
    return None if spec.modified is not None else "no `modified`: changes made in the ERP cannot be followed"


def _searched(spec: EntityProfile) -> str | None:
    if Capability.SEARCH not in spec.capabilities:
        return "no capability search"
    return None if spec.filter_names else "nothing to search by"


def _has_state(spec: EntityProfile) -> str | None:
    if "state" not in spec.fields or Capability.TRANSITION in spec.capabilities:
        return None
    state = as_form(spec.fields["state"])
    return None if state.constant is not None else "has a state, and no capability transition"


def _roomy(spec: EntityProfile) -> str | None:
    if spec.marker is None or spec.marker.max_length >= MARKER_MINIMUM:
        return None
    return f"{spec.marker.max_length} characters keep less than 80 bits of a marker"


def _processing(spec: EntityProfile) -> str | None:
    if spec.max_processing_s is not None:
        return None
    return "nobody has looked up how long a request that we gave up on may still take effect"


def _probed(profile: Profile) -> tuple[str, ...]:
    options = profile.options
    given = options.probe if options.probe is not None else getattr(options, "probe_method", None)
    return () if given is not None else ("no call that tells health without side effects",)


def _paced(profile: Profile) -> tuple[str, ...] | None:
    if profile.grade == "simulated":
        return None
    return () if profile.limits.requests_per_second is not None else ("no requests_per_second in [limits]",)


def _referred(profile: Profile) -> tuple[str, ...]:
    return tuple(
        f"{name}: refers to {ref}, which is no entity of the profile"
        for name, spec in profile.entities.items()
        for ref in sorted(_refs(dict(spec.forms())))
        if ref not in profile.entities
    )


def _refs(forms: dict[str, FieldForm]) -> set[str]:
    found = {form.ref for form in forms.values() if form.ref is not None}
    for form in forms.values():
        nested = form.each or form.first
        if nested:
            found |= _refs({name: as_form(inner) for name, inner in nested.items()})
    return found


# fmt: off
RULES: tuple[Rule, ...] = (
    #    name             law                                                     judge
    Rule("sourced",       "The source says where its names were read, and when.", _sourced),
    Rule("compiles",      "Every field maps both ways.",                          _compiles),
    Rule("marked",        "A write leaves our reference in the record.",          _of_written(_marked)),
    Rule("found again",   "A write of unknown outcome can be looked up.",         _of_written(_found_again)),
    Rule("not doubled",   "A write is not done twice.",                           _of_written(_not_doubled)),
    Rule("conditional",   "An update overwrites nothing that it has not seen.",   _of_written(_careful)),
    Rule("lifecycle",     "Where there is a state, it can be changed.",           _of_written(_has_state)),
    Rule("searchable",    "Records can be listed and searched.",                  _of_all(_searched)),
    Rule("marker room",   "At least 80 bits of our reference are kept.",          _of_written(_roomy)),
    Rule("late landing",  "It is known until when a lost request may land.",      _of_written(_processing)),
    Rule("references",    "Each native id that it names can be translated.",      _referred),
    Rule("health",        "Health can be asked for.",                             _probed),
    Rule("pace",          "The rate that the product bears is kept.",             _paced),
    Rule("change stamps", "A record says when it was last changed.",              _of_all(_stamped)),
)
# fmt: on
