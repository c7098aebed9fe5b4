"""Judging a range: what parts, what does not, and what each record weighs."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from adapters.contract import Facts, Idempotency
from gateway.canonical import BY_NAME
from gateway.compare.difference import DifferenceClass
from gateway.compare.look import Eye
from gateway.compare.waiver import Waiver
from gateway.reconcile.matching import WITHIN, Held, Matching, Parted
from gateway.reconcile.tally import Tally

KEY = b"a key of this test"
INVOICE = BY_NAME["invoice"]


def facts(system: str, entity: str) -> Facts:
    mapped = frozenset(BY_NAME[entity].policy.members(""))
    return Facts(
        capabilities=frozenset(),
        idempotency=Idempotency.E_NOTHING,
        mapped=mapped - {"balance"} if system == "cloud" else mapped,
    )


def expect(system: str, entity: str, fields: dict[str, Any]) -> dict[str, Any]:
    """The cloud keeps whole units of a net total."""
    if system == "cloud" and "net_total" in fields:
        net = fields["net_total"]
        whole = Decimal(net["amount"]).quantize(Decimal(1))
        return fields | {"net_total": {**net, "amount": str(whole)}}
    return fields


def matching(*waivers: Waiver) -> Matching:
    eye = Eye(sides=None, expect=expect, facts=facts, key=KEY)  # type: ignore[arg-type]
    return Matching(
        entity=INVOICE, authority="legacy", other="cloud", eye=eye, waivers=waivers, now=1_000, key=KEY
    )


def held(read_at: int = 0, **fields: Any) -> Held:
    document = {
        name: {"amount": value, "currency": "EUR"} if name in ("total", "net_total", "balance") else value
        for name, value in fields.items()
    }
    return Held(document=document, read_at=read_at)


def judged(control: Held | None, candidate: Held | None, *waivers: Waiver) -> tuple[Tally, list[Parted]]:
    one = matching(*waivers)
    sides = {"authority": control, "mirror": candidate}
    one.add("inv_1", {side: there for side, there in sides.items() if there is not None})
    return one.tally(), one.parted


def weights(parted: Parted) -> dict[tuple[str, str], Decimal]:
    return {(one.measure, one.currency): one.authority - one.mirror for one in parted.amounts}


def test_equal_records_weigh_the_same() -> None:
    """Equal is equal whatever the scale; it is counted on both sides and parts nothing."""
    tally, parted = judged(held(total="10.00", state="posted"), held(total="10", state="posted"))
    assert (tally.equal, tally.parted, parted) == (1, 0, [])
    assert tally.states == {"authority": {"posted": 1}, "mirror": {"posted": 1}}
    (total,) = tally.totals
    assert (total.measure, total.currency, total.authority, total.mirror) == ("total", "EUR", 10, 10)


def test_a_cent_in_ten_thousand_millions_is_found() -> None:
    """No digit is lost on the way to the bridge."""
    _, (parted,) = judged(held(7, total="9999999999.99"), held(9, total="9999999999.98"))
    assert weights(parted) == {("total", "EUR"): Decimal("0.01")}
    assert (parted.kind, parted.covered, parted.read_at) == ("differs", None, 9)
    assert parted.differences[0].kind in (DifferenceClass.AMOUNT, DifferenceClass.ROUNDING)


@pytest.mark.parametrize(
    ("control", "candidate", "kind", "part"),
    [(held(total="5.00"), None, "missing", 5), (None, held(total="5.00"), "extra", -5)],
    ids=["missing", "extra"],
)
def test_a_record_on_one_side_is_its_whole_weight(
    control: Held | None, candidate: Held | None, kind: str, part: int
) -> None:
    """What only one side holds parts by all that it weighs."""
    tally, (parted,) = judged(control, candidate)
    assert (parted.kind, weights(parted)) == (kind, {("total", "EUR"): part})
    assert (tally.missing, tally.extra) == (int(kind == "missing"), int(kind == "extra"))


def test_another_currency_is_two_parts() -> None:
    """Amounts of two currencies are never netted."""
    other = Held(document={"total": {"amount": "10.00", "currency": "USD"}}, read_at=0)
    _, (parted,) = judged(held(total="10.00"), other)
    assert weights(parted) == {("total", "EUR"): 10, ("total", "USD"): -10}


def test_a_field_that_one_system_does_not_hold_is_no_total() -> None:
    """It would part every record; it is told as not compared instead."""
    tally, parted = judged(held(total="1.00", balance="1.00"), held(total="1.00"))
    assert parted == []
    assert {total.measure for total in tally.totals} == {"total"}
    assert tally.not_compared == ("balance",)


def test_a_declared_loss_is_covered_and_its_amount_is_shown() -> None:
    """It blocks nothing, and the bridge still has its cents."""
    _, (parted,) = judged(held(net_total="10.40"), held(net_total="10"))
    assert parted.covered == "declared loss"
    assert weights(parted) == {("net_total", "EUR"): Decimal("0.40")}


def test_a_declared_loss_without_an_amount_is_explained() -> None:
    """It is counted as that, not as equal, and has no part in the bridge."""
    one = Matching(
        entity=BY_NAME["customer"],
        authority="legacy",
        other="cloud",
        eye=Eye(
            sides=None,  # type: ignore[arg-type]
            expect=lambda system, entity, fields: {name: str(value)[:3] for name, value in fields.items()},
            facts=lambda system, entity: Facts(capabilities=frozenset(), mapped=frozenset({"name"})),
            key=KEY,
        ),
        waivers=(),
        now=0,
        key=KEY,
    )
    sides = {
        side: Held(document={"name": name}, read_at=0)
        for side, name in (("authority", "Harbour"), ("mirror", "Har"))
    }
    one.add("cus_1", sides)
    assert (one.tally().explained, one.tally().equal, one.parted) == (1, 0, [])


def waiver(**changes: Any) -> Waiver:
    fields: dict[str, Any] = {
        "id": "wai_1",
        "entity": "invoice",
        "region": "UK",
        "field": "total",
        "kind": "amount",
        "reason": "agreed",
        "owner": "controller",
        "expires_at": 2_000,
        "created_at": 0,
        "created_by": "ann",
    }
    return Waiver(**fields | changes)


@pytest.mark.parametrize(
    ("changes", "covered"),
    [
        pytest.param({}, "waived wai_1", id="in force"),
        pytest.param({"expires_at": 1_000}, None, id="expired"),
        pytest.param({"revoked_at": 1}, None, id="revoked"),
        pytest.param({"field": "net_total"}, None, id="another field"),
    ],
)
def test_a_waiver_covers_what_it_is_about(changes: dict[str, Any], covered: str | None) -> None:
    """Only while it is in force, and only all of a record or nothing."""
    _, (parted,) = judged(held(total="10.00"), held(total="7.50"), waiver(**changes))
    assert parted.covered == covered
    more = judged(held(total="10.00", state="posted"), held(total="7.50", state="paid"), waiver(**changes))
    assert more[1][0].covered is None, "a second difference that nothing covers is left open"


def test_an_amount_within_a_tolerance_is_covered() -> None:
    """What is no difference still has a part, so that the bridge sums to zero."""
    lenient = Matching(
        entity=INVOICE,
        authority="legacy",
        other="cloud",
        eye=_Blind(sides=None, expect=expect, facts=facts, key=KEY),  # type: ignore[arg-type]
        waivers=(),
        now=0,
        key=KEY,
    )
    lenient.add("inv_1", {"authority": held(total="1.01"), "mirror": held(total="1.00")})
    (parted,) = lenient.parted
    assert (parted.covered, weights(parted)) == (WITHIN, {("total", "EUR"): Decimal("0.01")})


class _Blind(Eye):
    """Finds no difference, as a rule with a tolerance does."""

    def documents(self, *args: Any, **kwargs: Any) -> Any:
        found = super().documents(*args, **kwargs)
        return type(found)(compared=found.compared)
