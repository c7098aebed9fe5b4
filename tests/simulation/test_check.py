"""The judge is judged: histories that break a law are rejected, each by that law, and sound ones pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from adapters.contract import Idempotency
from tests.simulation.check import check
from tests.simulation.erp import Call, Effect, Product
from tests.simulation.history import Backfill, History, Kept, Line, Mismatch, Op, Said

CUS, PRJ = "cus_1", "prj_1"


def product(system: str, kind: str = "D") -> Product:
    return Product(
        system=system,
        idempotency=Idempotency(kind),
        conditional=False,
        max_processing_s=10.0,
        read_lag_s=0.0,
        search_lag_s=0.0,
        timeout_s=2.0,
        unique_numbers=False,
        numbers=False,
        answers_record=True,
        name_length=None,
    )


class Book:
    """Writes a history down: each ``write`` is one that went well, in both systems."""

    def __init__(self) -> None:
        self.history = History(products={"legacy": product("legacy"), "cloud": product("cloud")})
        self.seqs: dict[str, int] = {}
        self.requests = 0

    def write(
        self,
        record: str,
        kind: str,
        fields: dict[str, Any],
        *,
        authority: str = "legacy",
        epoch: int = 1,
        mirrored: bool = True,
        key: bool = True,
    ) -> Op:
        h = self.history
        entity = "customer" if record.startswith("cus") else "project"
        seq = self.seqs[record] = self.seqs.get(record, 0) + 1
        self.requests += 1
        request, name = self.requests, f"op_{record}_{seq}"
        mirror = "cloud" if authority == "legacy" else "legacy"
        op = Op(
            id=name,
            record=record,
            entity=entity,
            seq=seq,
            kind=kind,
            state="settled",
            epoch=epoch,
            authority=authority,
            mirror=mirror if mirrored else None,
            marker=f"M{name}",
            change=fields,
            request=f"{request}.1",
            version=seq,
        )
        h.operations[name] = op
        self.say(op, "invoke")
        kept = h.records.setdefault(record, Kept(id=record, entity=entity, version=0, seq=0, open_writes=0))
        kept.version, kept.seq, kept.image = seq, seq, {**(kept.image or {}), **fields}
        for role, system in (("authority", authority), ("mirror", mirror if mirrored else None)):
            if system is None:
                continue
            h.lines.append(
                Line(
                    id=f"dlv_{name}_{role}",
                    operation=name,
                    record=record,
                    entity=entity,
                    system=system,
                    role=role,
                    seq=seq,
                    epoch=epoch,
                    state="applied",
                )
            )
            h.lanes[record, system] = seq
            self.effect(op, system)
            if role == "authority":
                self.say(op, "ok", 201 if kind == "create" else 200)
        return op

    def effect(self, op: Op, system: str, *, native: str | None = None, marker: str | None = None) -> Effect:
        h = self.history
        native = native or f"{system[0].upper()}-{op.record}"
        holds = h.holds.setdefault(system, {}).setdefault(op.entity, {})
        fields = {**holds.get(native, {}), **op.change}
        if fields.get("customer_id") == CUS:
            fields["customer_id"] = f"{system[0].upper()}-{CUS}"
        holds[native] = fields
        h.links.setdefault((op.record, system), native)
        made = Effect(
            place=len(h.effects),
            t=float(len(h.effects)),
            system=system,
            entity=op.entity,
            native_id=native,
            marker=marker or op.marker,
            kind=op.kind,
            fields=dict(fields),
        )
        h.effects.append(made)
        return made

    def say(self, op: Op, kind: str, code: int | None = None, **more: Any) -> Said:
        h = self.history
        ended = kind == "ok"
        said = Said(
            place=len(h.said),
            t=float(len(h.said)),
            kind=kind,
            request=int((op.request or "0").partition(".")[0]),
            attempt=1,
            action=op.kind,
            entity=op.entity,
            key=f"k{op.request}",
            record=op.record if ended or op.kind != "create" else None,
            code=code,
            operation=None if kind == "invoke" else op.id,
            version=op.version if ended else None,
            body=f"body of {op.id}" if ended else None,
            effects=len(h.effects),
        )
        said = msgspec.structs.replace(said, **more)
        h.said.append(said)
        return said

    def read(self, record: str, version: int) -> None:
        self.requests += 1
        for kind in ("invoke", "ok"):
            self.history.said.append(
                Said(
                    place=len(self.history.said),
                    t=0.0,
                    kind=kind,
                    request=self.requests,
                    attempt=1,
                    action="read",
                    entity="customer",
                    record=record,
                    version=version if kind == "ok" else None,
                )
            )

    def line(self, op: Op, role: str) -> Line:
        return next(one for one in self.history.lines if one.operation == op.id and one.role == role)

    def without(self, op: Op, system: str) -> None:
        """The system never had it."""
        self.history.effects[:] = [
            one for one in self.history.effects if (one.marker, one.system) != (op.marker, system)
        ]
        for place, one in enumerate(self.history.effects):
            one.place = place


def sound() -> tuple[Book, Op, Op, Op]:
    """A customer that is made and changed, and a project of it."""
    book = Book()
    made = book.write(CUS, "create", {"name": "A", "state": "prospect"})
    changed = book.write(CUS, "update", {"name": "B"})
    project = book.write(PRJ, "create", {"name": "P", "customer_id": CUS, "state": "draft"})
    return book, made, changed, project


Spoil = Callable[[Book, Op, Op, Op], object]
BAD: dict[str, tuple[str, Spoil]] = {}


def bad(law: str) -> Callable[[Spoil], Spoil]:
    def keep(spoil: Spoil) -> Spoil:
        BAD[spoil.__name__.strip("_")] = (law, spoil)
        return spoil

    return keep


# --- C1 -----------------------------------------------------------------------------------------------------


@bad("C1")
def _acknowledged_and_not_in_the_journal(b: Book, m: Op, c: Op, p: Op) -> None:
    b.history.lines = [one for one in b.history.lines if one.operation != p.id]
    del b.history.operations[p.id]


@bad("C1")
def _accepted_with_202_and_not_in_the_journal(b: Book, m: Op, c: Op, p: Op) -> None:
    b.say(p, "info", 202, operation="op_gone")


@bad("C1")
def _applied_by_the_authority_without_an_effect(b: Book, m: Op, c: Op, p: Op) -> None:
    b.without(p, "legacy")


@bad("C1")
def _applied_by_the_mirror_without_an_effect(b: Book, m: Op, c: Op, p: Op) -> None:
    b.without(c, "cloud")


@bad("C1")
def _accepted_and_forgotten(b: Book, m: Op, c: Op, p: Op) -> None:
    p.state = "accepted"


@bad("C1")
def _ready_for_ever(b: Book, m: Op, c: Op, p: Op) -> None:
    b.without(p, "cloud")
    p.state, b.line(p, "mirror").state = "committed", "ready"


@bad("C1")
def _held_for_ever(b: Book, m: Op, c: Op, p: Op) -> None:
    p.state = "held"
    b.line(p, "authority").state = b.line(p, "mirror").state = "blocked"


@bad("C1")
def _unknown_for_ever(b: Book, m: Op, c: Op, p: Op) -> None:
    p.state, b.line(p, "mirror").state = "committed", "unknown"


@bad("C1")
def _sending_for_ever(b: Book, m: Op, c: Op, p: Op) -> None:
    p.state, b.line(p, "mirror").state = "committed", "sending"


@bad("C1")
def _settled_while_its_mirror_is_parked(b: Book, m: Op, c: Op, p: Op) -> None:
    b.without(p, "cloud")
    b.line(p, "mirror").state = "parked"


@bad("C1")
def _no_delivery_to_the_mirror_that_it_names(b: Book, m: Op, c: Op, p: Op) -> None:
    b.without(p, "cloud")
    b.history.lines.remove(b.line(p, "mirror"))


# --- C2 -----------------------------------------------------------------------------------------------------


@bad("C2")
def _two_effects_in_the_authority(b: Book, m: Op, c: Op, p: Op) -> None:
    b.effect(p, "legacy")


@bad("C2")
def _two_effects_in_the_mirror(b: Book, m: Op, c: Op, p: Op) -> None:
    b.effect(p, "cloud")


@bad("C2")
def _two_records_of_one_create(b: Book, m: Op, c: Op, p: Op) -> None:
    b.effect(p, "cloud", native="C-other")


@bad("C2")
def _one_record_made_again_by_its_next_write(b: Book, m: Op, c: Op, p: Op) -> None:
    next(e for e in b.history.effects if e.marker == c.marker and e.system == "cloud").native_id = "C-other"


@bad("C2")
def _two_uncertain_sends_to_a_system_that_offers_nothing(b: Book, m: Op, c: Op, p: Op) -> None:
    b.history.products["cloud"] = product("cloud", "E")
    b.line(p, "mirror").maybe_sent = 2


# --- C3 -----------------------------------------------------------------------------------------------------


def _swap(b: Book, one: Op, other: Op, system: str) -> None:
    first, second = (
        next(e for e in b.history.effects if e.marker == op.marker and e.system == system)
        for op in (one, other)
    )
    first.marker, second.marker = second.marker, first.marker


@bad("C3")
def _the_mirror_had_them_the_wrong_way_round(b: Book, m: Op, c: Op, p: Op) -> None:
    _swap(b, m, c, "cloud")


@bad("C3")
def _the_authority_had_them_the_wrong_way_round(b: Book, m: Op, c: Op, p: Op) -> None:
    _swap(b, m, c, "legacy")


@bad("C3")
def _an_old_write_lands_after_the_newer_one(b: Book, m: Op, c: Op, p: Op) -> None:
    b.without(m, "cloud")
    b.effect(m, "cloud")


@bad("C3")
def _the_mark_of_a_lane_fell(b: Book, m: Op, c: Op, p: Op) -> None:
    b.history.lanes[CUS, "cloud"] = 1


@bad("C3")
def _two_calls_at_once_in_a_lane(b: Book, m: Op, c: Op, p: Op) -> None:
    for t in (1.0, 1.5):
        b.history.calls.append(
            Call(t=t, ended=t + 1.0, replica="r", system="cloud", kind="update", marker=c.marker, fault="")
        )


# --- C4 -----------------------------------------------------------------------------------------------------


@bad("C4")
def _an_effect_with_a_marker_of_nobody(b: Book, m: Op, c: Op, p: Op) -> None:
    b.effect(p, "cloud", marker="Mforeign", native="C-foreign")


@bad("C4")
def _an_effect_of_a_refused_write(b: Book, m: Op, c: Op, p: Op) -> None:
    p.state, b.line(p, "authority").state, b.line(p, "mirror").state = "rejected", "rejected", "skipped"


@bad("C4")
def _an_effect_of_a_skipped_mirror(b: Book, m: Op, c: Op, p: Op) -> None:
    b.line(p, "mirror").state = "skipped"


@bad("C4")
def _an_effect_of_a_superseded_mirror(b: Book, m: Op, c: Op, p: Op) -> None:
    b.line(m, "mirror").state = "superseded"


@bad("C4")
def _an_effect_where_it_was_never_sent(b: Book, m: Op, c: Op, p: Op) -> None:
    b.history.lines.remove(b.line(p, "mirror"))
    p.mirror = None


@bad("C4")
def _the_mirror_before_the_authority(b: Book, m: Op, c: Op, p: Op) -> None:
    first, second = (e for e in b.history.effects if e.marker == p.marker)
    first.system, second.system = second.system, first.system


@bad("C4")
def _the_mirror_and_never_the_authority(b: Book, m: Op, c: Op, p: Op) -> None:
    b.without(p, "legacy")
    p.state, b.line(p, "authority").state = "unresolved", "parked"


# --- C5 -----------------------------------------------------------------------------------------------------


@bad("C5")
def _a_write_before_one_that_was_answered(b: Book, m: Op, c: Op, p: Op) -> None:
    m.seq, c.seq = 2, 1


@bad("C5")
def _a_read_shows_less_than_was_answered(b: Book, m: Op, c: Op, p: Op) -> None:
    b.read(CUS, 1)


# --- C6 -----------------------------------------------------------------------------------------------------


@bad("C6")
def _201_for_a_write_that_ended_refused(b: Book, m: Op, c: Op, p: Op) -> None:
    b.without(p, "legacy")
    b.without(p, "cloud")
    p.state, b.line(p, "authority").state, b.line(p, "mirror").state = "rejected", "rejected", "skipped"


@bad("C6")
def _200_before_the_authority_had_it(b: Book, m: Op, c: Op, p: Op) -> None:
    next(one for one in b.history.said if one.kind == "ok" and one.operation == c.id).effects = 2


@bad("C6")
def _422_and_it_was_applied(b: Book, m: Op, c: Op, p: Op) -> None:
    said = next(one for one in b.history.said if one.kind == "ok" and one.operation == p.id)
    said.kind, said.code, said.problem = "fail", 422, "Refused"


@bad("C6")
def _503_and_it_was_applied_later(b: Book, m: Op, c: Op, p: Op) -> None:
    said = next(one for one in b.history.said if one.kind == "ok" and one.operation == p.id)
    said.kind, said.code, said.problem, said.operation = "fail", 503, "StoreUnavailable", None


@bad("C6")
def _a_write_is_answered_500(b: Book, m: Op, c: Op, p: Op) -> None:
    b.say(p, "info", 500)


# --- C7 -----------------------------------------------------------------------------------------------------


@bad("C7")
def _a_replay_with_other_bytes(b: Book, m: Op, c: Op, p: Op) -> None:
    b.say(p, "ok", 201, body="something else")


@bad("C7")
def _a_replay_with_another_code(b: Book, m: Op, c: Op, p: Op) -> None:
    b.say(p, "ok", 200)


@bad("C7")
def _a_replay_of_another_operation(b: Book, m: Op, c: Op, p: Op) -> None:
    b.say(p, "ok", 201, operation=c.id)


@bad("C7")
def _one_key_accepted_twice(b: Book, m: Op, c: Op, p: Op) -> None:
    c.request = "1.2"


# --- C8 -----------------------------------------------------------------------------------------------------


@bad("C8")
def _two_authorities_in_one_epoch(b: Book, m: Op, c: Op, p: Op) -> None:
    b.write(CUS, "update", {"name": "C"}, authority="cloud")


@bad("C8")
def _the_old_authority_after_the_new_one(b: Book, m: Op, c: Op, p: Op) -> None:
    b.write(CUS, "update", {"name": "C"}, authority="cloud", epoch=2)
    b.write("cus_2", "create", {"name": "D", "state": "prospect"}, epoch=1)


@bad("C8")
def _sent_to_a_system_that_is_not_the_authority(b: Book, m: Op, c: Op, p: Op) -> None:
    b.line(p, "authority").system, b.line(p, "mirror").system = "cloud", "legacy"


# --- C9 -----------------------------------------------------------------------------------------------------


@bad("C9")
def _the_mirror_holds_another_value(b: Book, m: Op, c: Op, p: Op) -> None:
    b.history.holds["cloud"]["customer"][f"C-{CUS}"]["name"] = "A"


@bad("C9")
def _the_authority_holds_another_value(b: Book, m: Op, c: Op, p: Op) -> None:
    b.history.holds["legacy"]["customer"][f"L-{CUS}"]["name"] = "A"


@bad("C9")
def _the_mirror_refers_to_another_record(b: Book, m: Op, c: Op, p: Op) -> None:
    b.history.holds["cloud"]["project"][f"C-{PRJ}"]["customer_id"] = "C-other"


@bad("C9")
def _the_mirror_does_not_hold_it(b: Book, m: Op, c: Op, p: Op) -> None:
    del b.history.holds["cloud"]["customer"][f"C-{CUS}"]


@bad("C10")
def _two_records_with_one_number(b: Book, m: Op, c: Op, p: Op) -> None:
    for record in ("cus_8", "cus_9"):
        b.write(record, "create", {"name": record, "number": "N1", "state": "prospect"})


@bad("C10")
def _a_number_that_nobody_has_and_nobody_gets(b: Book, m: Op, c: Op, p: Op) -> None:
    b.history.numbers["customer", "N7"] = CUS


# --- C12, and the program itself ----------------------------------------------------------------------------


def _call(b: Book, t: float, fault: str = "", paused_until: float | None = None) -> None:
    b.history.calls.append(
        Call(
            t=t,
            replica="r",
            system="cloud",
            kind="update",
            marker="M",
            fault=fault,
            paused_until=paused_until,
        )
    )


@bad("C12")
def _called_before_the_pause_was_over(b: Book, m: Op, c: Op, p: Op) -> None:
    _call(b, 1.0, "throttled", 31.0)
    _call(b, 20.0)


@bad("C12")
def _called_without_end(b: Book, m: Op, c: Op, p: Op) -> None:
    for place in range(80):
        _call(b, float(place))


@bad("own")
def _the_program_logged_a_fault(b: Book, m: Op, c: Op, p: Op) -> None:
    b.history.own_faults.append("1.0 r0 delivery failed\nIllegalMove: delivery applied does not know applied")


# --- C15 ----------------------------------------------------------------------------------------------------


def _closely(b: Book) -> Backfill:
    """The customer's slice has had a last backfill, and everything was compared."""
    h = b.history
    h.closely = True
    h.slices = {"customer": (1, "legacy", "cloud")}
    run = Backfill(
        id="bfl_1", entity="customer", state="done", source="legacy", target="cloud", epoch=1, read=1,
        unlinked=0, items={CUS: "present"}, begun=max(one.t for one in h.effects) + 1.0,
    )  # fmt: skip
    h.backfills = [run]
    return run


def _edit(b: Book) -> None:
    effect = b.effect(next(iter(b.history.operations.values())), "cloud")
    effect.marker, effect.kind = None, "edit"
    b.history.holds["cloud"]["customer"]["C-cus_1"]["name"] = "by hand"


@bad("C15")
def _a_difference_that_nobody_is_told_of(b: Book, m: Op, c: Op, p: Op) -> None:
    _closely(b)
    _edit(b)


@bad("C15")
def _told_of_a_difference_that_is_none(b: Book, m: Op, c: Op, p: Op) -> None:
    _closely(b)
    b.line(c, "mirror").code = "refused once"
    b.history.mismatches.append(Mismatch(record=CUS, fields=["name"], open=True))


@bad("C15")
def _late_and_told_as_wrong(b: Book, m: Op, c: Op, p: Op) -> None:
    _closely(b)
    b.history.mismatches.append(Mismatch(record=CUS, fields=["name"], open=False))


@bad("C15")
def _a_backfill_that_left_a_record_out(b: Book, m: Op, c: Op, p: Op) -> None:
    b.write("cus_2", "create", {"name": "N", "state": "prospect"})
    _closely(b)


@bad("C15")
def _a_record_that_a_backfill_has_not_seen(b: Book, m: Op, c: Op, p: Op) -> None:
    _closely(b).read = 2
    b.history.holds["legacy"]["customer"]["L-9"] = {"name": "by hand"}


@bad("C15")
def _lacking_in_the_mirror_and_not_told(b: Book, m: Op, c: Op, p: Op) -> None:
    _no_mirror(b)
    _closely(b).read = 2


@bad("C15")
def _a_comparison_that_broke(b: Book, m: Op, c: Op, p: Op) -> None:
    _closely(b)
    b.history.broken_comparisons.append(CUS)


def _twice(b: Book, op: Op, *, over_an_edit: bool, kind: str = "B") -> None:
    """The cloud puts things at keys of ours, or keeps numbers apart, and has had this write twice."""
    b.history.products["cloud"] = product("cloud", kind)
    if over_an_edit:
        edit = b.effect(op, "cloud")
        edit.marker, edit.kind = None, "edit"
    b.effect(op, "cloud")


@bad("C2")
def _put_twice_with_nothing_in_between(b: Book, m: Op, c: Op, p: Op) -> None:
    _twice(b, p, over_an_edit=False)


@bad("C2")
def _changed_twice_by_number(b: Book, m: Op, c: Op, p: Op) -> None:
    """No number keeps a change from being made again."""
    _twice(b, c, over_an_edit=True, kind="C")


@bad("C2")
def _put_twice_with_other_values(b: Book, m: Op, c: Op, p: Op) -> None:
    _twice(b, p, over_an_edit=True)
    b.history.effects[-1].fields["name"] = "another"


@bad("C1")
def _brought_and_never_sent(b: Book, m: Op, c: Op, p: Op) -> None:
    op = _brought(b)
    b.without(op, "cloud")


@pytest.mark.parametrize("name", sorted(BAD))
def test_a_history_that_breaks_a_law_is_rejected_by_that_law(name: str) -> None:
    """Each bad history is a sound one with one thing changed, and the law that it breaks names it."""
    law, spoil = BAD[name]
    book, *ops = sound()
    assert check(book.history) == []
    spoil(book, *ops)
    verdicts = check(book.history)
    assert law in {one.law.split()[0] for one in verdicts}, verdicts


def test_there_are_enough_bad_histories() -> None:
    """At least thirty, and every law has one."""
    assert len(BAD) >= 30
    assert {law for law, _ in BAD.values()} == {
        "C1", "C2", "C3", "C4", "C5", "C6", "C7", "C8", "C9", "C10", "C12", "C15", "own",
    }  # fmt: skip


def _no_mirror(b: Book) -> None:
    b.write("cus_2", "create", {"name": "N", "state": "prospect"}, mirrored=False)


def _brought(b: Book) -> Op:
    """What a backfill brings into the mirror has no effect where it comes from."""
    op = b.write(CUS, "update", {"name": "B"})
    b.without(op, "legacy")
    op.client = "bfl_1"
    b.history.said = b.history.said[:-2]
    return op


def _seen_closely(b: Book) -> None:
    _closely(b)


def _put_again_over_an_edit(b: Book) -> None:
    _twice(b, list(b.history.operations.values())[-1], over_an_edit=True)


def _found_by_its_number_over_an_edit(b: Book) -> None:
    _twice(b, list(b.history.operations.values())[-1], over_an_edit=True, kind="C")


def _edited_and_told(b: Book) -> None:
    _closely(b)
    _edit(b)
    b.history.mismatches.append(Mismatch(record=CUS, fields=["name"], open=True))


def _seen_by_an_earlier_backfill_only(b: Book) -> None:
    _closely(b).epoch = 0
    _edit(b)


def _made_since(b: Book) -> None:
    run = _closely(b)
    run.read, run.begun = 0, min(one.t for one in b.history.effects)


def _not_the_last_look(b: Book) -> None:
    run = _closely(b)
    run.read, run.begun = 0, None


def _lacking_and_told(b: Book) -> None:
    _no_mirror(b)
    run = _closely(b)
    run.read, run.unlinked = 2, 1


def _moved(b: Book) -> None:
    b.write(CUS, "update", {"name": "C"}, authority="cloud", epoch=2)
    b.write(CUS, "update", {"name": "D"}, authority="cloud", epoch=2)


def _back_and_forth(b: Book) -> None:
    _moved(b)
    b.write(CUS, "update", {"name": "E"}, epoch=3)


def _refused(b: Book) -> None:
    op = b.write("cus_3", "create", {"name": "R", "state": "prospect"})
    for system in ("legacy", "cloud"):
        b.without(op, system)
        del b.history.links["cus_3", system], b.history.lanes["cus_3", system]
    b.history.records["cus_3"].image = None
    op.state, b.line(op, "authority").state, b.line(op, "mirror").state = "rejected", "rejected", "skipped"
    said = b.history.said[-1]
    said.kind, said.code, said.problem = "fail", 422, "Refused"


def _superseded(b: Book) -> None:
    op = b.write(CUS, "update", {"name": "X"})
    b.write(CUS, "update", {"name": "Y"})
    b.without(op, "cloud")
    b.line(op, "mirror").state = "superseded"


def _waits_for_a_person(b: Book) -> None:
    op = b.write(CUS, "update", {"name": "X"})
    b.without(op, "cloud")
    op.state, b.line(op, "mirror").state = "attention", "parked"
    b.history.lanes[CUS, "cloud"] = 2


def _nobody_knows(b: Book) -> None:
    """A caller that was never answered, whose write was applied all the same."""
    op = b.write(CUS, "update", {"name": "X"})
    said = b.history.said[-1]
    said.kind, said.code, said.problem, said.operation = "info", None, "no answer", None
    assert op.state == "settled"


def _edited(b: Book) -> None:
    effect = b.effect(next(iter(b.history.operations.values())), "cloud")
    effect.marker, effect.kind = None, "edit"


def _patient(b: Book) -> None:
    _call(b, 1.0, "throttled", 11.0)
    _call(b, 12.0)


GOOD: dict[str, Callable[[Book], object]] = {
    one.__name__.strip("_"): one
    for one in (
        _no_mirror,
        _moved,
        _back_and_forth,
        _refused,
        _superseded,
        _brought,
        _put_again_over_an_edit,
        _found_by_its_number_over_an_edit,
        _seen_closely,
        _edited_and_told,
        _seen_by_an_earlier_backfill_only,
        _lacking_and_told,
        _made_since,
        _not_the_last_look,
        _waits_for_a_person,
        _nobody_knows,
        _edited,
        _patient,
    )
}


@pytest.mark.parametrize("name", sorted(GOOD))
def test_a_history_that_keeps_the_laws_passes(name: str) -> None:
    """What looks odd and is allowed is not rejected: a judge that says no to all would be of no use."""
    book, *_ = sound()
    GOOD[name](book)
    assert check(book.history) == []
