"""B5. Pair compares of an 8-line invoice per second and core, against deepdiff on the same pairs.

One process, no input or output in the measured part. Three pairs: equal documents with rows in another order, one cent
in one line, and eight differences. The peer gets its best settings for the job (rows in any order, decimals kept apart
by type) and is given the documents with amounts as Decimal, so that it can see a cent at all; it knows nothing of
policies, classes or money.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from gateway.canonical import BY_NAME
from gateway.compare.differ import diff
from tests.benchmarks.scale import Scale
from tests.benchmarks.table import Bound, Report


def money(amount: str) -> dict[str, str]:
    return {"amount": amount, "currency": "EUR"}


def invoice() -> dict[str, Any]:
    return {
        "customer_id": "cus_0196a3c0",
        "currency": "EUR",
        "issue_date": "2026-05-31",
        "due_date": "2026-06-30",
        "number": "R-2026-0815",
        "project_id": "prj_0196a3c1",
        "legal_entity": "DE01",
        "state": "released",
        "net_total": money("8360.00"),
        "tax_total": money("1588.40"),
        "total": money("9948.40"),
        "balance": money("9948.40"),
        "lines": [
            {
                "number": n,
                "description": f"Consulting, week {n}",
                "project_id": "prj_0196a3c1",
                "kind": "time",
                "quantity": "9.5",
                "unit_price": money("110.00"),
                "amount": money("1045.00"),
                "tax_code": "S19",
                "tax_amount": money("198.55"),
                "source_ids": [f"tim_{n}_{i}" for i in range(3)],
            }
            for n in range(1, 9)
        ],
    }


def pairs() -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    found: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {}
    for name in ("equal, rows reordered", "one cent in one line", "eight differences"):
        other = copy.deepcopy(invoice())
        if name == "one cent in one line":
            other["lines"][3]["amount"] = money("1045.01")
        if name == "eight differences":
            for line in other["lines"]:
                line["amount"] = money("1045.10")
        if name == "equal, rows reordered":
            other["lines"].reverse()
        found[name] = invoice(), other
    return found


def rates(sides: tuple[Callable[[], object], ...], *, seconds: float, rounds: int) -> list[float]:
    """A second's worth of each side, the best of some rounds in turn: the others are what the machine did meanwhile."""
    best = [0.0 for _ in sides]
    for _ in range(rounds):
        for place, work in enumerate(sides):
            done, start = 0, time.perf_counter()
            while (passed := time.perf_counter() - start) < seconds:
                work()
                done += 1
            best[place] = max(best[place], done / passed)
    return best


def decimals(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            k: Decimal(v) if k in ("amount", "quantity") and isinstance(v, str) else decimals(v)
            for k, v in value.items()
        }
    return [decimals(member) for member in value] if isinstance(value, list) else value


def run(scale: Scale) -> Report:
    from deepdiff import DeepDiff

    entity = BY_NAME["invoice"]
    seconds = scale.seconds / 30
    remarks: list[str] = []
    ratios: list[float] = []
    for name, (left, right) in pairs().items():
        a, b = decimals(left), decimals(right)
        ours, theirs = rates(
            (
                lambda left=left, right=right: diff(entity, left, right),
                lambda a=a, b=b: DeepDiff(a, b, ignore_order=True),
            ),
            seconds=seconds,
            rounds=scale.rounds,
        )
        ratios.append(ours / theirs)
        remarks.append(f"{name}: {ours:,.0f} a second, deepdiff {theirs:,.0f}, {ours / theirs:,.0f} times.")
    return Report(
        name="B5",
        title="pair compares of an 8-line invoice per second and core, against deepdiff; the least of three pairs",
        bounds=(Bound(unit="×", value=min(ratios), gate=30, aim=200),),
        remarks=tuple(remarks),
    )
