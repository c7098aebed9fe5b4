"""One body per call that works: what the document shows, and what a reader tries first.

Ids of other records stand for ones of the reader's own; what refers to nothing (a customer, a resource)
can be sent as it stands.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

CUSTOMER_ID = "cus_0198f0c2-5b7e-7cc1-9d2a-6d2f5a1f3b10"
PROJECT_ID = "prj_0198f0c2-6c01-7a52-8e44-0b6a7c1d2e3f"
RESOURCE_ID = "res_0198f0c2-6a10-7f31-b2c3-9f8e7d6c5b4a"
INVOICE_ID = "inv_0198f0c2-7d22-7b63-9f55-1c7b8d2e3f40"


def money(amount: str) -> dict[str, str]:
    return {"amount": amount, "currency": "EUR"}


#: Bodies of creates by entity; the document puts a region in front that its rules know.
EXAMPLES: Mapping[str, dict[str, Any]] = {
    "customer": {
        "name": "Harbour Engineering",
        "email": "accounts@harbour.example",
        "currency": "EUR",
        "payment_terms_days": 30,
        "billing_address": {
            "line1": "Quay 4",
            "city": "Hamburg",
            "postal_code": "20457",
            "country": "DE",
        },
    },
    "resource": {
        "name": "Robin Example",
        "kind": "employee",
        "role": "Consultant",
        "capacity_hours_per_week": "40",
    },
    "contract": {
        "customer_id": CUSTOMER_ID,
        "title": "Quay wall survey",
        "kind": "sow",
        "currency": "EUR",
        "value": money("48000.00"),
        "rate_card": [{"role": "Consultant", "rate": money("120.00"), "unit": "hour"}],
    },
    "project": {
        "name": "Quay wall survey",
        "customer_id": CUSTOMER_ID,
        "billing_method": "time_and_materials",
        "currency": "EUR",
        "tasks": [{"code": "SURVEY", "name": "Survey on site", "billable": True}],
    },
    "time_entry": {
        "resource_id": RESOURCE_ID,
        "project_id": PROJECT_ID,
        "date": "2026-03-02",
        "hours": "7.5",
        "billable": True,
        "note": "Survey on site",
    },
    "expense": {
        "resource_id": RESOURCE_ID,
        "project_id": PROJECT_ID,
        "date": "2026-03-02",
        "category": "travel",
        "amount": money("84.20"),
        "billable": True,
        "merchant": "Harbour Railways",
    },
    "invoice": {
        "customer_id": CUSTOMER_ID,
        "currency": "EUR",
        "issue_date": "2026-03-31",
        "lines": [
            {
                "description": "Survey on site",
                "kind": "time",
                "quantity": "7.5",
                "unit_price": money("120.00"),
                "amount": money("900.00"),
                "tax_amount": money("171.00"),
            }
        ],
        "net_total": money("900.00"),
        "tax_total": money("171.00"),
        "total": money("1071.00"),
    },
    "payment": {
        "customer_id": CUSTOMER_ID,
        "received_on": "2026-04-14",
        "amount": money("1071.00"),
        "reference": "INV-1001",
        "allocations": [{"invoice_id": INVOICE_ID, "amount": money("1071.00")}],
    },
}

PATCHES: Mapping[str, dict[str, Any]] = {
    "customer": {"phone": "+49 40 555 0100", "billing_address": {"line2": None}},
    "resource": {"grade": "Senior"},
    "contract": {"end_date": "2026-12-31"},
    "project": {"practice": "Waterways"},
    "time_entry": {"hours": "8"},
    "expense": {"note": "Return journey"},
    "invoice": {"due_date": "2026-04-30"},
    "payment": {"method": "transfer"},
}

TRANSITIONS: Mapping[str, dict[str, Any]] = {
    "customer": {"to": "active"},
    "resource": {"to": "active"},
    "contract": {"to": "sent"},
    "project": {"to": "approved"},
    "time_entry": {"to": "submitted"},
    "expense": {"to": "submitted"},
    "invoice": {"to": "ready"},
    "payment": {"to": "applied", "reason": "Matched to the bank statement"},
}
