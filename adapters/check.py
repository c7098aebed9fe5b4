"""What a profile must offer so that a migration can rely on it: RULES, each judged by the profile alone.

A rule is *done*, *todo* (it could be met, and what is missing is named) or *exempt* (it has nothing to say here). The
*grade* is the best evidence there is for the profile's facts: simulated, recorded or live.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Literal

import msgspec

from adapters.contract import Capability, Idempotency
from adapters.mapping import compile_profile
from adapters.profile import EntityProfile, Profile, as_form

Standing = Literal["done", "todo", "exempt"]

WRITES = frozenset({Capability.CREATE, Capability.UPDATE, Capability.TRANSITION})
#: A day or month at which somebody read the source.
_READ = re.compile(r"\bread (\d{4}-\d{2})")


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    rule: str
    law: str
    standing: Standing
    missing: tuple[str, ...] = ()  #: what is missing, entity by entity


class Rule(msgspec.Struct, frozen=True):
    """Positional on purpose: it is written once, as the table below. ``judge`` names what is missing; None: exempt."""

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


def _not_overwritten(spec: EntityProfile) -> str | None:
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


# fmt: off
RULES: tuple[Rule, ...] = (
    #    name             law                                                        judge
    Rule("sourced",       "The source says where its names were read, and when.",    _sourced),
    Rule("compiles",      "Every field maps both ways.",                             _compiles),
    Rule("marked",        "A write leaves our reference in the record.",             _of_written(_marked)),
    Rule("found again",   "A write of unknown outcome can be looked up.",            _of_written(_found_again)),
    Rule("not doubled",   "Something keeps a write from being done twice.",          _of_written(_not_doubled)),
    Rule("conditional",   "An update does not overwrite a change it has not seen.",  _of_written(_not_overwritten)),
    Rule("lifecycle",     "Where there is a state, it can be changed.",              _of_written(_has_state)),
    Rule("searchable",    "Records can be listed and searched.",                     _of_all(_searched)),
    Rule("change stamps", "A record says when it was last changed.",                 _of_all(_stamped)),
)
# fmt: on
