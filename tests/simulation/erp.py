"""The two systems: what a product promises, what it holds, and the log of every effect that it ever had.

The log is the truth that a history is judged by; it is written by the system itself, also where the product shows
no marker to anybody. The gateway reaches a system only through ``SimAdapter``, which stands in for the network too.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from typing import Any

import msgspec

from adapters.contract import (
    Capability,
    Facts,
    Fields,
    Found,
    Idempotency,
    Receipt,
    Write,
)
from adapters.errors import Conflict, NotFound, Rejected
from gateway.canonical import BY_NAME
from tests.simulation.loop import Loop, Process

MAPPED: Mapping[str, frozenset[str]] = {
    "customer": frozenset({"name", "number", "email", "payment_terms_days", "legal_entity", "state"}),
    "project": frozenset(
        {"name", "number", "customer_id", "billing_method", "currency", "practice", "legal_entity", "state"}
    ),
    "invoice": frozenset(
        {
            "customer_id", "number", "currency", "issue_date", "due_date", "lines", "net_total", "tax_total",
            "total", "balance", "legal_entity", "state",
        }
    ),
}  # fmt: skip
#: What people change in an ERP by hand.
EDITED = {"customer": "email", "project": "practice"}
REFERENCES = {"project": ("customer", "customer_id"), "invoice": ("customer", "customer_id")}


class Product(msgspec.Struct, kw_only=True):
    """What this system is like in one history, and what its profile declares of it."""

    system: str
    idempotency: Idempotency
    conditional: bool
    max_processing_s: float
    read_lag_s: float
    search_lag_s: float
    timeout_s: float
    unique_numbers: bool  #: refuses a second record with the same number; class C always does
    numbers: bool  #: gives a number to a record that comes without one
    answers_record: bool  #: answers a write with the record; else with its id alone
    name_length: int | None  #: longer names are cut, and the profile says so

    @property
    def keeps_marker(self) -> bool:
        return self.idempotency is not Idempotency.E_NOTHING

    def facts(self, entity: str) -> Facts:
        return Facts(
            capabilities=frozenset(Capability),
            idempotency=self.idempotency,
            conditional=self.conditional,
            max_processing_s=self.max_processing_s,
            read_lag_s=self.read_lag_s,
            search_lag_s=self.search_lag_s,
            mapped=MAPPED[entity],
            assigned=frozenset({"number"}) if self.numbers else frozenset(),
            filters=frozenset({"number", "legal_entity"}),
        )

    def kept(self, fields: Mapping[str, Any]) -> Fields:
        """The fields as this product holds them: its declared losses applied."""
        out = dict(fields)
        if self.name_length is not None and isinstance(out.get("name"), str):
            out["name"] = out["name"][: self.name_length]
        return out


def product_of(system: str, rng: random.Random, faults: frozenset[str]) -> Product:
    """A product at random. Lags and cuts only where the history has them switched on."""
    kind = rng.choice("AABBCDDDE")
    return Product(
        system=system,
        idempotency=Idempotency(kind),
        conditional=rng.random() < 0.5,
        max_processing_s=rng.choice((4.0, 10.0, 20.0)),
        read_lag_s=rng.choice((0.5, 3.0)) if "read lag" in faults else 0.0,
        search_lag_s=rng.choice((0.5, 3.0)) if "search lag" in faults else 0.0,
        timeout_s=rng.choice((2.0, 4.0)),
        unique_numbers=kind == "C" or rng.random() < 0.3,
        numbers=rng.random() < 0.5,
        answers_record=rng.random() < 0.5,
        name_length=12 if "cut values" in faults and rng.random() < 0.5 else None,
    )


class Effect(msgspec.Struct, kw_only=True):
    """One change that a system made of itself. ``place`` orders all effects of both systems of a history."""

    place: int
    t: float
    system: str
    entity: str
    native_id: str
    marker: str | None  #: None: somebody changed it by hand
    kind: str  #: create, update, transition; by hand: edit, enter
    fields: Fields  #: the whole record afterwards


class Call(msgspec.Struct, kw_only=True):
    """One request as it left a replica."""

    t: float
    replica: str
    system: str
    kind: str  #: create, update, transition, fetch, find, search, probe
    marker: str | None
    fault: str
    #: when the replica had its answer, or gave up; None: it never did, because it was dead by then
    ended: float | None = None
    #: the system told this replica to leave it alone until then
    paused_until: float | None = None


class _Held:
    """One record of a system, with every state that it was in."""

    __slots__ = ("external_id", "fields", "marker", "native_id", "seen", "version")

    def __init__(self, native_id: str, external_id: str, fields: Fields, marker: str) -> None:
        self.native_id = native_id
        self.external_id = external_id
        self.fields = fields
        self.marker = marker  # of the last write, whether the product shows it or not
        self.version = 1
        self.seen: list[tuple[float, Found]] = []


class Erp:
    """The system itself. Its methods are what happens when a request arrives, at once and as a whole."""

    def __init__(self, product: Product, loop: Loop, effects: list[Effect], seed: int) -> None:
        self.product = product
        self.name = product.system
        self.loop = loop
        self.process = Process(product.system)
        self.context = loop.context_of(self.process)
        self.effects = effects
        self.refuses = False
        #: names with this in them are not taken
        self.bars: str | None = None
        self.counted: Counter[str] = Counter()
        self._seed = seed
        self._records: dict[str, dict[str, _Held]] = {entity: {} for entity in MAPPED}
        self._answers: dict[str, Receipt] = {}
        self._count = 0

    # --- writes ----------------------------------------------------------------------------------------------

    def create(self, write: Write) -> Receipt:
        if self.product.idempotency is Idempotency.A_NATIVE_KEY and write.marker in self._answers:
            return self._answers[write.marker]
        if self.product.idempotency is Idempotency.B_EXTERNAL_ID:
            there = next(
                (one for one in self._of(write).values() if one.external_id == write.external_id), None
            )
            if there is not None:
                return self._change(there, write, write.fields, "create")
        self._judge(write)
        fields = self.product.kept({n: v for n, v in write.fields.items() if v is not None})
        number = fields.get("number")
        if number is not None and self.product.unique_numbers and self._numbered(write.entity, fields):
            raise Conflict(f"number {number} is taken", system=self.name, code="duplicate", field="number")
        self._count += 1
        native_id = f"{self.name[0].upper()}{self._count:05d}"
        if number is None and self.product.numbers:
            fields["number"] = f"{self.name}-{self._count:05d}"
        held = _Held(native_id, write.external_id, fields, write.marker)
        self._of(write)[native_id] = held
        return self._done(held, write.entity, write.marker, "create")

    def update(self, write: Write) -> Receipt:
        return self._on_existing(write, write.fields, "update")

    def transition(self, write: Write) -> Receipt:
        return self._on_existing(write, {**write.fields, "state": write.to_state}, "transition")

    def edit(self, entity: str, native_id: str, value: str) -> None:
        """Somebody changes a field by hand."""
        held = self._records[entity][native_id]
        held.fields = {**held.fields, EDITED[entity]: value}
        held.version += 1
        self._done(held, entity, None, "edit")

    def enter(self, entity: str, fields: Fields) -> str | None:
        """Somebody makes a record by hand; its native id, or None where a rule of the product forbids it."""
        kept = self.product.kept(fields)
        if self.product.unique_numbers and "number" in kept and self._numbered(entity, kept):
            return None
        self._count += 1
        native_id = f"{self.name[0].upper()}{self._count:05d}"
        held = _Held(native_id, "", kept, "")
        self._records[entity][native_id] = held
        self._done(held, entity, None, "enter")
        return native_id

    def _on_existing(self, write: Write, fields: Fields, kind: str) -> Receipt:
        if self.product.idempotency is Idempotency.A_NATIVE_KEY and write.marker in self._answers:
            return self._answers[write.marker]
        held = self._of(write).get(write.native_id or "")
        if held is None:
            raise NotFound(f"no {write.entity} {write.native_id}", system=self.name)
        if (
            self.product.conditional
            and write.native_version is not None
            and write.native_version != str(held.version)
        ):
            raise Conflict("it is at another version", system=self.name, code="version")
        return self._change(held, write, fields, kind)

    def _change(self, held: _Held, write: Write, fields: Fields, kind: str) -> Receipt:
        after = {n: v for n, v in {**held.fields, **self.product.kept(fields)}.items() if v is not None}
        if held.marker == write.marker and after == held.fields:
            # The same once more, on top of itself: absolute values leave nothing changed.
            self.counted["repeated without effect"] += 1
            return self._receipt(held, write.entity)
        self._judge(write)
        if self.product.unique_numbers and after.get("number") != held.fields.get("number"):
            holder = self._numbered(write.entity, after)
            if holder is not None and holder is not held:
                raise Conflict("the number is taken", system=self.name, code="duplicate", field="number")
        held.fields = after
        held.marker = write.marker
        held.version += 1
        return self._done(held, write.entity, write.marker, kind)

    def _judge(self, write: Write) -> None:
        """This product's own rules: the same write is always refused, or never."""
        reference = REFERENCES.get(write.entity)
        if reference is not None:
            native = write.fields.get(reference[1])
            if native is not None and native not in self._records[reference[0]]:
                raise Rejected(f"no {reference[0]} {native}", system=self.name, field=reference[1])
        if self.bars is not None and self.bars in str(write.fields.get("name")):
            raise Rejected("such names are not taken", system=self.name, code="name", field="name")
        if self.refuses and random.Random(f"{self._seed}|{self.name}|{write.marker}").random() < 0.08:
            self.counted["refused by rule"] += 1
            raise Rejected("refused by a rule of its own", system=self.name, code="rule")

    def _done(self, held: _Held, entity: str, marker: str | None, kind: str) -> Receipt:
        t = self.loop.time()
        self.effects.append(
            Effect(
                place=len(self.effects),
                t=t,
                system=self.name,
                entity=entity,
                native_id=held.native_id,
                marker=marker,
                kind=kind,
                fields=dict(held.fields),
            )
        )
        held.seen.append((t, self._found(held, entity)))
        receipt = self._receipt(held, entity)
        if marker is not None:
            self._answers[marker] = receipt
        return receipt

    def _receipt(self, held: _Held, entity: str) -> Receipt:
        return Receipt(
            native_id=held.native_id,
            native_version=str(held.version),
            fields=self._shown(held, entity) if self.product.answers_record else {},
        )

    def _shown(self, held: _Held, entity: str) -> Fields:
        return {name: held.fields.get(name) for name in MAPPED[entity]}

    def _found(self, held: _Held, entity: str) -> Found:
        return Found(
            native_id=held.native_id,
            native_version=str(held.version),
            marker=(held.marker or None) if self.product.keeps_marker else None,
            external_id=(held.external_id or None) if self.product.idempotency is Idempotency.B_EXTERNAL_ID else None,
            fields=self._shown(held, entity),
        )

    def _of(self, write: Write) -> dict[str, _Held]:
        return self._records[write.entity]

    def _numbered(self, entity: str, fields: Fields) -> _Held | None:
        return next(
            (one for one in self._records[entity].values() if one.fields.get("number") == fields["number"]),
            None,
        )

    # --- reads: as of a moment that may lie a little back ------------------------------------------------------

    def fetch(self, entity: str, native_id: str, lag_s: float) -> Found:
        held = self._records[entity].get(native_id)
        found = None if held is None else _as_of(held, self.loop.time() - lag_s)
        if found is None:
            raise NotFound(f"no {entity} {native_id}", system=self.name)
        return found

    def all(self, entity: str, lag_s: float) -> list[Found]:
        at = self.loop.time() - lag_s
        seen = (_as_of(one, at) for one in self._records[entity].values())
        return [one for one in seen if one is not None]

    def holds(self, entity: str) -> dict[str, Fields]:
        """What it holds now, by native id."""
        return {native: one.fields for native, one in self._records[entity].items()}


def _as_of(held: _Held, at: float) -> Found | None:
    for t, found in reversed(held.seen):
        if t <= at:
            return found
    return None


__all__ = ["BY_NAME", "EDITED", "MAPPED", "Call", "Effect", "Erp", "Product", "product_of"]
