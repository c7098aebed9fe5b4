"""Which system may edit which field, and what becomes of an edit made in the other one. Pure.

A rule file may carry a table ``[ownership]``: field -> who owns it, and what is done with an edit where it is not
owned. ``"*"`` stands for the fields that are not named. Without the table the authority of the slice owns everything,
and an edit in the mirror goes to a person.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

from gateway.canonical import BY_NAME
from gateway.canonical.policy import Compare
from gateway.routing.stage import System

ANY = "*"
Owner = Literal["authority", "legacy", "cloud", "both"]
OnConflict = Literal["revert", "accept", "case"]
#: Words in the name of a field that is about tax or a bank account; money is known by its kind.
_PROTECTED_WORDS = ("tax", "bank", "iban", "bic", "account")


class Ownership(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who may edit a field: the authority of the slice, a system by name, or both. ``on_conflict``: what becomes of an
    edit in the system that does not own it."""

    owner: Owner = "authority"
    on_conflict: OnConflict = "case"

    def owned_by(self, system: System, authority: System) -> bool:
        """Whether ``system`` may edit it while ``authority`` answers for the slice."""
        return self.owner == "both" or (authority if self.owner == "authority" else self.owner) == system


class Ownerships(Struct, frozen=True, kw_only=True):
    """The ownership of every field of one entity."""

    entity: str
    fields: Mapping[str, Ownership] = {}

    def of(self, field: str) -> Ownership:
        found = self.fields.get(field)
        return found if found is not None else self.fields.get(ANY, _DEFAULT)

    def protected(self, field: str) -> bool:
        """Whether the field is about money, tax or a bank account: edited in both systems, a person decides it always,
        whatever the rule says."""
        rules = BY_NAME[self.entity].policy.rules
        rule = rules.get(field)
        return (
            any(word in field for word in _PROTECTED_WORDS)
            or (rule is not None and rule.compare is Compare.MONEY)
            or any(
                inner.compare is Compare.MONEY
                for path, inner in rules.items()
                if path.startswith((f"{field}[].", f"{field}."))
            )
        )


_DEFAULT = Ownership()


class OwnedField(Struct, frozen=True, kw_only=True):
    """One line of who may edit what; ``"*"`` stands for the fields that are not named."""

    entity: str
    field: str
    owner: Owner
    on_conflict: OnConflict


def lines(owners: Ownerships) -> tuple[OwnedField, ...]:
    """What holds for each field that a rule names, and for the others."""
    named = [*(name for name in owners.fields if name != ANY), ANY]
    return tuple(
        OwnedField(
            entity=owners.entity,
            field=name,
            owner=owners.of(name).owner,
            on_conflict=owners.of(name).on_conflict,
        )
        for name in named
    )


def fields_of(entity: str) -> tuple[str, ...]:
    """The fields that a rule may name."""
    own = BY_NAME[entity].fields.__struct_fields__
    return (*own, "state", "legal_entity", "custom_fields")


def misnamed(entity: str, given: Mapping[str, Ownership]) -> str | None:
    """What is wrong with this table, beginning with the path; None: nothing."""
    known = fields_of(entity)
    for name in given:
        if name != ANY and name not in known:
            return f'ownership.{name}: is no field of {entity}; known are "*", {", ".join(known)}'
    return None
