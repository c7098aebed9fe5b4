"""A record of each canonical entity with every field filled, in the order in which they refer to each other.

A reference stands as ``@entity`` and is replaced by the native id that the system under test gave.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

ENTITIES = ("customer", "resource", "contract", "project", "time_entry", "expense", "invoice", "payment")


def eur(amount: str) -> dict[str, str]:
    return {"amount": amount, "currency": "EUR"}


SAMPLES: dict[str, dict[str, Any]] = {
    "customer": {
        "name": "Kestrel Hydraulics & Pumps <Ulm> GmbH, “Größe 7”",
        "number": "CF-1",
        "legal_entity": "DE01",
        "legal_name": "Kestrel Hydraulics GmbH",
        "tax_id": "DE123456789",
        "registration_number": "HRB 4711",
        "email": "billing@kestrel.example",
        "phone": "+49 731 5550",
        "website": "https://kestrel.example",
        "billing_address": {
            "line1": "Am Kai 1",
            "line2": "2. OG",
            "city": "Ulm",
            "state": "BW",
            "postal_code": "89073",
            "country": "DE",
        },
        "currency": "EUR",
        "payment_terms_days": 30,
        "credit_limit": eur("50000.00"),
        "parent_id": None,
        "language": "de-DE",
        "custom_fields": {"segment": "gold", "ratings": [1, {"by": "us"}]},
        "state": "active",
    },
    "resource": {
        "name": "Ada Example",
        "number": "RF-1",
        "legal_entity": "DE01",
        "email": "ada@firm.example",
        "kind": "employee",
        "role": "Consultant",
        "grade": "L4",
        "skills": [{"name": "Dredging", "level": "expert"}, {"name": "Welding", "level": "basic"}],
        "cost_rate": eur("80.00"),
        "bill_rate": eur("150.00"),
        "capacity_hours_per_week": "38.5",
        "manager_id": None,
        "employed_from": "2020-02-29",
        "employed_to": None,
        "custom_fields": {},
        "state": "active",
    },
    "contract": {
        "customer_id": "@customer",
        "legal_entity": "DE01",
        "title": "Pump overhaul",
        "kind": "sow",
        "number": "KF-1",
        "signed_on": "2026-01-02",
        "start_date": "2026-01-03",
        "end_date": "2026-12-31",
        "currency": "EUR",
        "value": eur("100000.00"),
        "payment_terms_days": 14,
        "rate_card": [{"role": "Consultant", "rate": eur("150.00"), "unit": "hour"}],
        "milestones": [
            {
                "code": "M1",
                "name": "Design",
                "amount": eur("40000.00"),
                "due_date": "2026-03-01",
                "state": "open",
            },
            {
                "code": "M2",
                "name": "Build",
                "amount": eur("60000.00"),
                "due_date": "2026-09-01",
                "state": "open",
            },
        ],
        "billing_schedule": [
            {"due_date": "2026-03-31", "amount": eur("40000.00"), "description": "after M1"}
        ],
        "revenue_method": "percentage",
        "document_ref": "doc-1",
        "custom_fields": {},
        "state": "active",
    },
    "project": {
        "name": "Pump overhaul",
        "customer_id": "@customer",
        "legal_entity": "DE01",
        "number": "PF-1",
        "contract_id": "@contract",
        "manager_id": "@resource",
        "billing_method": "time_and_materials",
        "currency": "EUR",
        "start_date": "2026-01-03",
        "end_date": None,
        "budget_hours": "400.25",
        "budget_amount": eur("60000.00"),
        "practice": "Marine",
        "cost_center": "CC-7",
        "tasks": [
            {"code": "T1", "name": "Design", "billable": True},
            {"code": "T2", "name": "Travel", "billable": False},
        ],
        "custom_fields": {},
        "state": "active",
    },
    "time_entry": {
        "resource_id": "@resource",
        "project_id": "@project",
        "legal_entity": "DE01",
        "date": "2026-11-20",
        "hours": "7.5",
        "billable": True,
        "task_code": "T1",
        "note": "Drawings,\nsecond line",
        "rate": eur("150.00"),
        "timesheet_ref": "TS-F1",
        "custom_fields": {},
        "state": "draft",
    },
    "expense": {
        "resource_id": "@resource",
        "project_id": "@project",
        "legal_entity": "DE01",
        "date": "2026-11-19",
        "category": "travel",
        "amount": eur("119.00"),
        "tax_amount": eur("19.00"),
        "billable": False,
        "reimbursable": True,
        "receipt_ref": "RC-F1",
        "note": None,
        "merchant": "Railways",
        "custom_fields": {},
        "state": "submitted",
    },
    "invoice": {
        "customer_id": "@customer",
        "legal_entity": "DE01",
        "currency": "EUR",
        "issue_date": "2026-11-21",
        "number": "IF-1",
        "project_id": "@project",
        "contract_id": "@contract",
        "due_date": "2026-12-21",
        "posting_date": None,
        "lines": [
            {
                "number": 1,
                "description": "Consulting",
                "project_id": "@project",
                "kind": "time",
                "quantity": "7.5",
                "unit_price": eur("150.00"),
                "amount": eur("1125.00"),
                "tax_code": "standard",
                "tax_amount": eur("213.75"),
                "source_ids": ["tim_1", "tim_2"],
            },
            {
                "number": 2,
                "description": "Travel",
                "project_id": None,
                "kind": "expense",
                "quantity": "1",
                "unit_price": eur("119.00"),
                "amount": eur("119.00"),
                "tax_code": "zero",
                "tax_amount": eur("0.00"),
                "source_ids": [],
            },
        ],
        "net_total": eur("1244.00"),
        "tax_total": eur("213.75"),
        "total": eur("1457.75"),
        "balance": eur("1457.75"),
        "custom_fields": {},
        "state": "draft",
    },
    "payment": {
        "customer_id": "@customer",
        "legal_entity": "DE01",
        "received_on": "2026-11-22",
        "amount": eur("1000.00"),
        "method": "transfer",
        "reference": "PAY-F1",
        "allocations": [{"invoice_id": "@invoice", "amount": eur("1000.00")}],
        "custom_fields": {},
        "state": "received",
    },
}

#: A change of an ordinary field, and a state to go to.
CHANGES: dict[str, dict[str, Any]] = {
    "customer": {"phone": "+49 731 5551", "website": None},
    "resource": {"role": "Lead", "skills": [{"name": "Dredging", "level": "master"}]},
    "contract": {"title": "Pump overhaul II", "value": eur("100000.50")},
    "project": {"budget_hours": "401", "tasks": []},
    "time_entry": {"hours": "8", "note": None},
    "expense": {"note": "ferry", "billable": True},
    "invoice": {"due_date": "2026-12-22"},
    "payment": {"method": "cheque"},
}
STATES = {
    "customer": "blocked",
    "resource": "on_leave",
    "contract": "completed",
    "project": "on_hold",
    "time_entry": "submitted",
    "expense": "approved",
    "invoice": "ready",
    "payment": "applied",
}
#: A reference that no system holds, in the field that must name one.
REFUSED = {
    "resource": "manager_id",
    "contract": "customer_id",
    "project": "customer_id",
    "time_entry": "project_id",
    "expense": "resource_id",
    "invoice": "customer_id",
    "payment": "customer_id",
}


def resolved(value: Any, ids: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return ids[value[1:]] if value.startswith("@") else value
    if isinstance(value, list):
        return [resolved(item, ids) for item in cast("list[Any]", value)]
    if isinstance(value, dict):
        return {name: resolved(item, ids) for name, item in cast("dict[str, Any]", value).items()}
    return value
