"""The bridge over the two simulated ERPs, on both databases: every planted record is in its term, and in no other."""

from __future__ import annotations

from decimal import Decimal

from gateway.reconcile import Term, Verdict
from tests.integration.ledger.world import World
from tests.integration.reconcile.planted import CURRENCIES, REGION, Planted, followed, gate


async def test_every_term_leads_to_exactly_its_records(world: World) -> None:
    """Lateness, queued writes, cases, waivers and amounts that nothing explains, in five currencies: each line of the
    bridge sums to zero to the cent, and each term has the planted records with the planted parts."""
    planted = Planted(world)
    await planted.everything()
    reconciler = world.gateway.reconciler
    run = await reconciler.start("invoice", REGION, actor="tests")

    async def suspected() -> bool:
        return (await reconciler.get(run.id)).phase == "recheck"

    await world.until(suspected, "both sets are judged")
    planted.mend_the_late_ones()
    run = await followed(world, run)
    assert run.report is not None
    assert run.verdict is Verdict.FAIL
    expected = await planted.known()
    lines = {line.currency: line for line in run.report.bridge if line.measure == "total"}
    assert set(lines) == set(CURRENCIES)
    for currency, line in lines.items():
        assert line.residual == 0
        assert line.authority == line.mirror + sum(line.terms.values())
        for term in Term:
            parts = expected[term][currency]
            assert line.terms[term] == sum(parts.values()), (term, currency)
            found = await reconciler.records(run.id, term=term, measure="total", currency=currency, limit=200)
            amounts = {
                one.record_id: amount.authority - amount.mirror
                for one in found
                for amount in one.amounts
                if (amount.measure, amount.currency) == ("total", currency)
            }
            assert amounts == parts, (term, currency)
    assert all(line.residual == Decimal(0) for line in run.report.bridge)
    assert await gate(world, "invoice", REGION) == "fail"
    assert run.report.terms == {term: sum(len(parts) for parts in expected[term].values()) for term in Term}


async def test_an_empty_slice_proves_nothing(world: World) -> None:
    """No record on either side is inconclusive, never a pass."""
    run = await world.gateway.reconciler.start("payment", REGION, actor="tests")
    run = await followed(world, run)
    assert run.report is not None
    assert run.report.records == {"authority": 0, "mirror": 0}
    assert run.verdict is Verdict.INCONCLUSIVE
    assert await gate(world, "payment", REGION) == "inconclusive"
