"""The reference model: records, what their callers asked for, and what each of them may be told.

It knows of the program only what callers are promised. Which of the accepted writes were applied it takes from the
journal; what a record must hold then, and what a caller may hear, follows from what was asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any

from gateway.canonical import BY_NAME
from tests.model.wishes import Wish
from tests.simulation.check import APPLIED, Verdict
from tests.simulation.erp import EDITED, Product
from tests.simulation.history import History, Op, Said

#: States of an operation that still counts as open in its record.
OPEN = ("accepted", "held", "unresolved", "stranded")

May = Callable[["Streams", Wish], bool]


class Streams:
    """Every wish, by request number, and what its tries were told so far."""

    def __init__(self, products: Mapping[str, Product]) -> None:
        self.products = products
        self.wishes: dict[int, Wish] = {}
        #: operations that were cancelled, as somebody was told
        self.cancelled: set[str] = set()
        #: somebody changed a record by hand, whose version is not what the gateway knows any more
        self.edited = False
        #: numbers of records that somebody made by hand
        self.entered: set[int | None] = set()
        #: a person has ended an unresolved write as not applied
        self.refused_by_hand = False
        #: merges that are done, as somebody was told, and were not taken back: id -> the loser, and when that was told
        self.merged: dict[str, tuple[str, float]] = {}
        #: records that were, or may be, merged into others
        self.losers: set[str] = set()
        #: losers of which nobody knows whether they were parted from their winners again
        self.unsure: set[str] = set()
        self._heard = 0
        self._versions: dict[str, int] = {}  # record -> the highest version that anybody was told
        self._begun: dict[tuple[int, int], int] = {}  # (request, attempt) -> that version when it was asked
        self._owners: dict[tuple[str, str, str], str] = {}  # key -> the operation that answers for it
        self._at_tombstone: set[tuple[int, int]] = set()  #: first tries of writes to one
        self._taken: dict[
            tuple[int, int], str
        ] = {}  # try -> the operation that its key was another wish's for

    # --- what callers are told -------------------------------------------------------------------------------

    def heard(self, history: History) -> Iterator[Verdict]:
        """What was told since the last look and should not have been."""
        # A write that was given back answers for its key no more.
        given_back = {op.id for op in history.operations.values() if op.state == "cancelled"} - self.cancelled
        self._owners = {key: id_ for key, id_ in self._owners.items() if id_ not in given_back}
        said = history.said
        for one in said[self._heard :]:
            wish = self.wishes.get(one.request)
            if wish is None:
                continue
            if one.kind == "invoke":
                self._asked(one, wish)
            else:
                yield from self._told(one, wish)
        self._heard = len(said)

    def _asked(self, one: Said, wish: Wish) -> None:
        at = one.request, one.attempt
        self._begun[at] = self._versions.get(wish.command.record_id or "", 0)
        if one.attempt == 1 and self._is_tombstone(wish, one.t):
            self._at_tombstone.add(at)
        owner = None if wish.key is None else self._owners.get(wish.key)
        if owner is not None:
            self._taken[at] = owner

    def _is_tombstone(self, wish: Wish, t: float) -> bool:
        """Whether it was certain then that the record of this write had been merged into another one."""
        record = wish.command.record_id
        known = any(loser == record and since < t for loser, since in self.merged.values())
        return known and record not in self.unsure

    def _told(self, one: Said, wish: Wish) -> Iterator[Verdict]:
        at = one.request, one.attempt
        told = f"{one.code} {one.problem or ''}".strip()
        concerns = (f"request {one.request}.{one.attempt}", str(one.record), str(one.operation))
        if one.code in (200, 201, 202):
            create = wish.command.kind == "create"
            if one.code == (200 if create else 201):
                yield Verdict(law="answers", what=f"a {wish.command.kind} was told {told}", concerns=concerns)
            if not create and one.record != wish.command.record_id:
                yield Verdict(law="answers", what="the answer is about another record", concerns=concerns)
            # One whose merge is taken back meanwhile may be written again.
            if at in self._at_tombstone and self._is_tombstone(wish, one.t):
                yield Verdict(law="answers", what="a write to a tombstone was taken", concerns=concerns)
            if_match = wish.command.if_match
            # A repeat is told what the first try was told, whatever has happened since.
            if if_match is not None and one.attempt == 1 and self._begun[at] > if_match:
                yield Verdict(
                    law="answers",
                    what=f"a write that is meant for version {if_match} was taken at version {self._begun[at]}",
                    concerns=concerns,
                )
            if wish.key is not None and one.operation is not None:
                owner = self._taken.get(at)
                if owner not in (None, one.operation) and self._owners.get(wish.key) == owner:
                    yield Verdict(
                        law="answers", what=f"its key is that of {owner} already", concerns=concerns
                    )
                self._owners.setdefault(wish.key, one.operation)
            if one.version is not None and one.record is not None:
                self._versions[one.record] = max(one.version, self._versions.get(one.record, 0))
        elif one.problem is not None and one.code is not None:
            may = MAY.get(one.problem)
            if may is None or not may(self, wish):
                yield Verdict(law="answers", what=f"nothing explains {told}", concerns=concerns)

    # --- what records hold -----------------------------------------------------------------------------------

    def held(self, history: History) -> Iterator[Verdict]:
        """Where the journal is not what follows from what was asked for and what was applied."""
        by_record: dict[str, list[Op]] = {}
        of_key: dict[tuple[str, str, str], Op] = {}
        for op in history.operations.values():
            by_record.setdefault(op.record, []).append(op)
            if op.brought:
                continue
            wish = self._wish_of(op)
            if wish is None or wish.command.kind != op.kind or wish.command.entity != op.entity:
                yield Verdict(
                    law="streams", what="an operation that nobody asked for", concerns=(op.id, op.record)
                )
                continue
            # A write that is given back frees its key.
            if wish.key is not None and op.state != "cancelled":
                first = of_key.setdefault(wish.key, op)
                if first is not op:
                    yield Verdict(law="streams", what="one key, two operations", concerns=(first.id, op.id))
            if op.id in self.cancelled and op.state != "cancelled":
                yield Verdict(law="streams", what=f"cancelled, and {op.state}", concerns=(op.id, op.record))
        for record, ops in by_record.items():
            yield from self._record(history, record, sorted(ops, key=lambda op: op.seq))

    def _record(self, history: History, record: str, ops: list[Op]) -> Iterator[Verdict]:
        kept = history.records.get(record)
        if kept is None:
            yield Verdict(law="streams", what="operations of a record that is not there", concerns=(record,))
            return
        seqs = [op.seq for op in ops]
        if seqs != [*range(1, len(ops) + 1)] or kept.seq != len(ops):
            yield Verdict(
                law="streams", what=f"its writes are {seqs}, its head {kept.seq}", concerns=(record,)
            )
        # What a backfill brings is what the authority has already: a number in the stream, and no change.
        asked = [op for op in ops if not op.brought]
        applied = [op for op in asked if op.state in APPLIED]
        still_open = sum(op.state in OPEN for op in ops)
        # A record that was seen in a system before anybody wrote it here was a version then.
        seen_first = not any(op.kind == "create" for op in asked)
        turns = sum(one.turned and one.winner == record for one in history.joined)
        if kept.version != len(applied) + seen_first + turns:
            yield Verdict(
                law="streams",
                what=f"version {kept.version} after {len(applied)} writes that were applied",
                concerns=(record,),
            )
        if kept.open_writes != still_open:
            yield Verdict(
                law="streams", what=f"{kept.open_writes} open writes, not {still_open}", concerns=(record,)
            )
        expected = self._fold(kept.entity, applied)
        image = kept.image or {}
        if turns:
            expected = {}  # it has taken over what another record was
        wrong = sorted(
            name
            for name, value in expected.items()
            if image.get(name) != value
            and not (name == "customer_id" and history.meant(str(image.get(name))) == history.meant(value))
        )
        if wrong:
            told = "; ".join(f"{name}: {image.get(name)!r}, not {expected[name]!r}" for name in wrong)
            yield Verdict(law="streams", what=f"it holds {told}", concerns=(record,))

    def _fold(self, entity: str, applied: list[Op]) -> dict[str, Any]:
        """What these writes, one after the other, make of the fields that their callers named."""
        document: dict[str, Any] = {}
        for op in applied:
            wish = self._wish_of(op)
            if wish is None:
                continue
            body = wish.command.body
            if op.kind == "create":
                document |= {**body, "state": BY_NAME[entity].lifecycle.initial}
            elif op.kind == "update":
                document |= {**body, **_totals(body)}
            else:
                document["state"] = body["to"]
        if self.edited:
            # What somebody wrote by hand stands there until a write of this field.
            document.pop(EDITED.get(entity, ""), None)
        return document

    def _wish_of(self, op: Op) -> Wish | None:
        number = (op.request or "").partition(".")[0]
        return self.wishes.get(int(number)) if number.isdigit() else None

    # --- what may be told ------------------------------------------------------------------------------------

    def asked_more_than_once(self, wish: Wish) -> bool:
        return wish.asked > 1 or self.key_shared(wish)

    def key_shared(self, wish: Wish) -> bool:
        return wish.key is not None and any(
            other.key == wish.key for other in self.wishes.values() if other is not wish
        )

    def number_wanted_twice(self, wish: Wish) -> bool:
        if wish.number is None:
            return False
        if wish.key is None and wish.asked > 1:
            return True  # asked for again without a key, it is another record
        if any(f"N{number}" == wish.number for number in self.entered):
            return True
        others = (other for other in self.wishes.values() if other is not wish)
        return any(
            other.command.entity == wish.command.entity and other.number == wish.number for other in others
        )

    def refusable(self, wish: Wish) -> bool:
        """A system may have a reason of its own to refuse it."""
        return (
            any(other.barred for other in self.wishes.values())
            or wish.number is not None
            or any(product.numbers or product.conditional for product in self.products.values())
            or self.refused_by_hand
            or wish.command.kind != "create"
        )


def _totals(change: Mapping[str, Any]) -> dict[str, Any]:
    """New lines bring new totals with them; those of a wish bear no tax."""
    if "lines" not in change:
        return {}
    amounts = [line["amount"] for line in change["lines"]]
    whole = {
        "amount": str(sum(Decimal(one["amount"]) for one in amounts)),
        "currency": amounts[0]["currency"],
    }
    return dict.fromkeys(("net_total", "total", "balance"), whole)


def _always(streams: Streams, wish: Wish) -> bool:
    return True


def _on_a_record(streams: Streams, wish: Wish) -> bool:
    return wish.command.kind != "create"


#: What a caller may be told beside an answer, and of which wish.
MAY: Mapping[str, May] = {
    "TwinRunning": Streams.asked_more_than_once,
    "KeyReused": Streams.key_shared,
    "NaturalKeyTaken": Streams.number_wanted_twice,
    "PendingWrite": lambda streams, wish: wish.command.if_match is not None,
    "VersionStale": lambda streams, wish: wish.command.if_match is not None,
    "IllegalTransition": lambda streams, wish: wish.command.kind == "transition",
    "RecordNotFound": _on_a_record,
    "RecordMerged": lambda streams, wish: wish.command.record_id in streams.losers,
    "Refused": Streams.refusable,
    "ReferenceUnknown": lambda streams, wish: "customer_id" in wish.command.body,
    "DependencyRefused": lambda streams, wish: "customer_id" in wish.command.body,
    "StoreUnavailable": _always,
    "NotAccepted": _always,
    "SystemUnavailable": _always,
}
