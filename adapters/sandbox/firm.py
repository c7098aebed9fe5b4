"""A made-up professional services firm: the business content that both simulated ERPs are loaded with.

Deterministic by seed. Records are flat: canonical field paths (``billing_address.city``,
``credit_limit.amount``) with plain values; a reference is the position of the other record in its own list.
Names of people and companies are put together from syllables; none is taken from a real one.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from random import Random
from typing import Any

import msgspec

from adapters.sandbox.vocabulary import (
    CATEGORIES,
    ENDEAVOURS,
    ENTRY_STATES,
    FORMS,
    GIVEN,
    HEADS,
    MERCHANTS,
    METHODS,
    NOTES,
    PRACTICES,
    ROLES,
    SKILLS,
    TAILS,
    TASKS,
    TITLES,
    TRADES,
)

Record = dict[str, Any]


class LegalEntity(msgspec.Struct, frozen=True, kw_only=True):
    region: str
    currency: str
    country: str
    tax: tuple[str, Decimal]  #: usual tax code and rate
    cities: tuple[str, ...]


# fmt: off
LEGAL_ENTITIES = {
    "UK01": LegalEntity(region="UK",   currency="GBP", country="GB", tax=("standard", Decimal("0.20")),
                        cities=("Leeds", "Bristol", "Norwich")),
    "DE01": LegalEntity(region="DACH", currency="EUR", country="DE", tax=("standard", Decimal("0.19")),
                        cities=("Ulm", "Kassel", "Münster")),
    "CH01": LegalEntity(region="DACH", currency="CHF", country="CH", tax=("standard", Decimal("0.081")),
                        cities=("Zug", "Olten", "Genève")),
    "US01": LegalEntity(region="US",   currency="USD", country="US", tax=("exempt", Decimal(0)),
                        cities=("Dayton", "Tulsa", "Boise")),
    "SG01": LegalEntity(region="APAC", currency="USD", country="SG", tax=("standard", Decimal("0.09")),
                        cities=("Jurong", "Tampines")),
    "AU01": LegalEntity(region="APAC", currency="AUD", country="AU", tax=("standard", Decimal("0.10")),
                        cities=("Geelong", "Hobart")),
}
#: Records per entity at scale 1.
SIZES = {"customer": 300, "resource": 250, "contract": 200, "project": 200, "time_entry": 20_000,
         "expense": 3_000, "invoice": 1_500, "payment": 1_100}
# fmt: on
WEIGHTS = (30, 25, 10, 20, 6, 9)
FIRST_DAY = date(2026, 1, 5)
CENT = Decimal("0.01")


class Draft(msgspec.Struct):
    """The firm while it is being made up."""

    rng: Random
    sizes: dict[str, int]
    made: dict[str, list[Record]]


def money(cents: int) -> Decimal:
    return Decimal(cents).scaleb(-2)


def build(seed: int, scale: float) -> dict[str, list[Record]]:
    """All records per entity, in the order in which they may be loaded. Scale 0 is an empty firm."""
    sizes = {entity: max(round(count * scale), 1) if scale > 0 else 0 for entity, count in SIZES.items()}
    draft = Draft(Random(seed), sizes, {})  # noqa: S311 - test data, not secrets
    for entity, make in MAKERS.items():
        draft.made[entity] = [make(draft, place) for place in range(sizes[entity])]
    return draft.made


def _day(rng: Random, first: int = 0, last: int = 280) -> date:
    return FIRST_DAY + timedelta(days=rng.randint(first, last))


def _customer(draft: Draft, place: int) -> Record:
    rng = draft.rng
    company = rng.choices(tuple(LEGAL_ENTITIES), WEIGHTS)[0]
    home = LEGAL_ENTITIES[company]
    word = f"{HEADS[place % 15]}{TAILS[(place // 15) % 12]}{'' if place < 180 else f' {place // 180 + 1}'}"
    name = f"{word} {rng.choice(TRADES)} {FORMS[home.country]}"
    slug = word.lower().replace(" ", "-")
    return {
        "number": f"CU-{place + 1:04d}",
        "legal_entity": company,
        "state": rng.choices(("active", "prospect", "blocked", "archived"), (88, 6, 3, 3))[0],
        "name": name,
        "legal_name": name if rng.random() < 0.8 else None,
        "tax_id": f"{home.country}{rng.randint(10**8, 10**9 - 1)}" if rng.random() < 0.9 else None,
        "registration_number": f"R{rng.randint(10**5, 10**6 - 1)}" if rng.random() < 0.6 else None,
        "email": f"accounts@{slug}.example",
        "phone": f"+{rng.randint(1, 99)} 555 {rng.randint(1000, 9999)}",
        "website": f"https://{slug}.example",
        "billing_address.line1": f"{rng.randint(1, 180)} {rng.choice(HEADS)}{rng.choice(TAILS)} Street",
        "billing_address.line2": "Goods entrance" if rng.random() < 0.1 else None,
        "billing_address.city": rng.choice(home.cities),
        "billing_address.postal_code": f"{rng.randint(10000, 99999)}",
        "billing_address.country": home.country,
        "currency": home.currency,
        "payment_terms_days": rng.choice((14, 30, 30, 45, 60)),
        "credit_limit.amount": money(rng.randint(10, 500) * 100_000),
        "credit_limit.currency": home.currency,
        "parent_id": rng.randrange(place) if place > 20 and rng.random() < 0.08 else None,
        "language": {"DE": "de", "CH": "de-CH", "GB": "en-GB", "US": "en-US"}.get(home.country, "en"),
    }


def _resource(draft: Draft, place: int) -> Record:
    rng = draft.rng
    company = rng.choices(tuple(LEGAL_ENTITIES), WEIGHTS)[0]
    currency = LEGAL_ENTITIES[company].currency
    name = f"{rng.choice(GIVEN)} {HEADS[place % 15]}{TAILS[(place // 15) % 12]}{'a' if place >= 180 else ''}"
    level = rng.randrange(len(ROLES))
    cost = rng.randint(3500, 6000) + level * 1500
    skills = rng.sample(SKILLS, rng.randint(0, 3))
    return {
        "number": f"RE-{place + 1:04d}",
        "legal_entity": company,
        "state": rng.choices(("active", "on_leave", "inactive", "onboarding"), (90, 4, 4, 2))[0],
        "name": name,
        "email": f"{name.lower().replace(' ', '.')}@firm.example",
        "kind": "employee" if rng.random() < 0.85 else "contractor",
        "role": ROLES[level],
        "grade": f"G{level + 1}",
        "cost_rate.amount": money(cost),
        "cost_rate.currency": currency,
        "bill_rate.amount": money(cost * 2 + 250),
        "bill_rate.currency": currency,
        "capacity_hours_per_week": Decimal(rng.choice(("40", "37.5", "20", "38.5"))),
        "manager_id": rng.randrange(min(place, 20)) if place else None,
        "employed_from": (FIRST_DAY - timedelta(days=rng.randint(30, 3000))).isoformat(),
        "skills": [{"name": skill, "level": str(rng.randint(1, 5))} for skill in skills],
    }


def _contract(draft: Draft, place: int) -> Record:
    rng, made = draft.rng, draft.made
    customer = rng.randrange(len(made["customer"]))
    company = made["customer"][customer]["legal_entity"]
    start = _day(rng, 0, 120)
    parts = [rng.randint(50, 900) * 10_000 + rng.randint(0, 99) for _ in range(rng.randint(1, 4))]
    due = [(start + timedelta(days=30 * (n + 1))).isoformat() for n in range(len(parts))]
    return {
        "number": f"CO-{place + 1:04d}",
        "legal_entity": company,
        "state": rng.choices(
            ("active", "signed", "completed", "sent", "draft", "terminated"), (60, 12, 12, 6, 6, 4)
        )[0],
        "customer_id": customer,
        "title": f"{rng.choice(TITLES)} agreement {made['customer'][customer]['name']}",
        "kind": rng.choices(("sow", "msa", "change_order"), (70, 20, 10))[0],
        "signed_on": start.isoformat(),
        "start_date": start.isoformat(),
        "end_date": (start + timedelta(days=365)).isoformat(),
        "currency": LEGAL_ENTITIES[company].currency,
        "value": money(sum(parts)),
        "payment_terms_days": 30,
        "revenue_method": rng.choice(("over_time", "point_in_time")),
        "document_ref": f"DOC-{place + 1:05d}",
        "rate_card": [
            {"role": role, "rate": money(9000 + n * 3050), "unit": "hour"} for n, role in enumerate(ROLES)
        ],
        "milestones": [
            {
                "code": f"M{n + 1}",
                "name": f"Stage {n + 1}",
                "amount": money(part),
                "due_date": due[n],
                "state": "open",
            }
            for n, part in enumerate(parts)
        ],
        "billing_schedule": [
            {"due_date": due[n], "amount": money(part), "description": f"Instalment {n + 1}"}
            for n, part in enumerate(parts)
        ],
    }


def _project(draft: Draft, place: int) -> Record:
    rng, made = draft.rng, draft.made
    with_contract = rng.random() < 0.85
    contract = place % len(made["contract"])
    customer = (
        made["contract"][contract]["customer_id"] if with_contract else rng.randrange(len(made["customer"]))
    )
    company = made["customer"][customer]["legal_entity"]
    start = _day(rng, 0, 60)
    return {
        "number": f"PR-{place + 1:04d}",
        "legal_entity": company,
        "state": rng.choices(
            ("active", "on_hold", "closed", "approved", "draft", "cancelled"), (80, 5, 6, 4, 3, 2)
        )[0],
        "name": f"{rng.choice(HEADS)}{rng.choice(TAILS)} {rng.choice(ENDEAVOURS)}",
        "customer_id": customer,
        "contract_id": contract if with_contract else None,
        "manager_id": rng.randrange(len(made["resource"])),
        "billing_method": rng.choices(METHODS, (50, 20, 15, 10, 5))[0],
        "currency": LEGAL_ENTITIES[company].currency,
        "start_date": start.isoformat(),
        "end_date": (start + timedelta(days=rng.randint(90, 400))).isoformat()
        if rng.random() < 0.8
        else None,
        "budget_hours": Decimal(rng.randint(100, 4000)),
        "budget_amount": money(rng.randint(20, 900) * 100_000),
        "practice": rng.choice(PRACTICES),
        "cost_center": f"CC{rng.randint(100, 180)}",
        "tasks": [{"code": code, "name": name, "billable": billable} for code, name, billable in TASKS],
    }


def _time_entry(draft: Draft, place: int) -> Record:
    rng, made = draft.rng, draft.made
    project = rng.randrange(len(made["project"]))
    home = made["project"][project]
    resource = rng.randrange(len(made["resource"]))
    billable = home["billing_method"] != "non_billable" and rng.random() < 0.85
    rate = made["resource"][resource]["bill_rate.amount"]
    # One entry in 300 comes from a clock with thirds of an hour: the shorter field will lose a part of it.
    hours = Decimal("1.333") if place % 300 == 299 else Decimal(rng.randint(1, 36)) / 4
    return {
        "timesheet_ref": f"TS-{place + 1:06d}",
        "legal_entity": home["legal_entity"],
        "state": rng.choices(ENTRY_STATES, (2, 5, 13, 20, 58, 2))[0],
        "resource_id": resource,
        "project_id": project,
        "date": _day(rng).isoformat(),
        "hours": hours,
        "billable": billable,
        "task_code": rng.choice(TASKS)[0],
        "note": rng.choice(NOTES) or None,
        "rate.amount": rate if billable else None,
        "rate.currency": home["currency"] if billable else None,
    }


def _expense(draft: Draft, place: int) -> Record:
    rng, made = draft.rng, draft.made
    project = rng.randrange(len(made["project"]))
    home = made["project"][project]
    category, note = rng.choice(CATEGORIES)
    cents = rng.randint(450, 90_000)
    return {
        "receipt_ref": f"RC-{place + 1:06d}",
        "legal_entity": home["legal_entity"],
        "state": rng.choices((*ENTRY_STATES, "reimbursed"), (2, 6, 12, 15, 40, 2, 23))[0],
        "resource_id": rng.randrange(len(made["resource"])),
        "project_id": project,
        "date": _day(rng).isoformat(),
        "category": category,
        "amount.amount": money(cents),
        "amount.currency": home["currency"],
        "tax_amount": money(cents // 7),
        "billable": rng.random() < 0.7,
        "reimbursable": rng.random() < 0.9,
        "note": note,
        "merchant": rng.choice(MERCHANTS),
    }


def _invoice(draft: Draft, place: int) -> Record:
    rng, made = draft.rng, draft.made
    project = rng.randrange(len(made["project"]))
    home = made["project"][project]
    code, rate = LEGAL_ENTITIES[home["legal_entity"]].tax
    lines: list[Record] = []
    for number in range(1, rng.randint(1, 6) + 1):
        quantity = Decimal(rng.randint(1, 160)) / 4
        price = money(rng.randint(6_000, 30_000))
        amount = (quantity * price).quantize(CENT, ROUND_HALF_UP)
        lines.append(
            {
                "number": number,
                "description": f"{rng.choice(ROLES)} services",
                "project_id": project,
                "kind": rng.choices(("time", "expense", "milestone", "fee"), (70, 15, 10, 5))[0],
                "quantity": quantity,
                "unit_price": price,
                "amount": amount,
                "tax_code": code,
                "tax_amount": (amount * rate).quantize(CENT, ROUND_HALF_UP),
                "source_ids": [],
            }
        )
    net = sum((line["amount"] for line in lines), money(0))
    tax = sum((line["tax_amount"] for line in lines), money(0))
    issued = _day(rng, 20)
    # The first ones are those that the payments below will settle, so that balances fit from the start.
    paid = place < draft.sizes["payment"]
    partly = paid and place % 10 == 9
    state = "partially_paid" if partly else "paid" if paid else rng.choices(
        ("posted", "released", "ready", "draft", "void"), (60, 15, 10, 10, 5)
    )[0]  # fmt: skip
    total = net + tax
    paid_amount = (total / 2).quantize(CENT, ROUND_HALF_UP) if partly else total if paid else money(0)
    return {
        "number": f"IN-{place + 1:05d}",
        "legal_entity": home["legal_entity"],
        "state": state,
        "customer_id": home["customer_id"],
        "currency": home["currency"],
        "issue_date": issued.isoformat(),
        "project_id": project,
        "contract_id": home["contract_id"],
        "due_date": (issued + timedelta(days=30)).isoformat(),
        "posting_date": issued.isoformat() if state in ("posted", "paid", "partially_paid") else None,
        "net_total": net,
        "tax_total": tax,
        "total": total,
        "balance": money(0) if state == "void" else total - paid_amount,
        "lines": lines,
    }


def _payment(draft: Draft, place: int) -> Record:
    rng, made = draft.rng, draft.made
    invoice = made["invoice"][place]
    amount = invoice["total"] - invoice["balance"]
    received = date.fromisoformat(invoice["issue_date"]) + timedelta(days=rng.randint(5, 60))
    return {
        "reference": f"PY-{place + 1:05d}",
        "legal_entity": invoice["legal_entity"],
        "state": "applied",
        "customer_id": invoice["customer_id"],
        "received_on": received.isoformat(),
        "amount.amount": amount,
        "amount.currency": invoice["currency"],
        "method": rng.choice(("bank_transfer", "direct_debit", "card")),
        "allocations": [{"invoice_id": place, "amount": amount}],
    }


#: In the order in which records may refer to each other.
MAKERS: dict[str, Callable[[Draft, int], Record]] = {
    "customer": _customer,
    "resource": _resource,
    "contract": _contract,
    "project": _project,
    "time_entry": _time_entry,
    "expense": _expense,
    "invoice": _invoice,
    "payment": _payment,
}
