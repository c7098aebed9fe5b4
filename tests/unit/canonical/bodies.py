"""The smallest and the fullest create of each entity, for the tests of this room."""

from __future__ import annotations

import copy
from typing import Any

EUR = {"amount": "1250.00", "currency": "EUR"}
SOME = {"amount": "50.00", "currency": "EUR"}

SMALLEST: dict[str, dict[str, Any]] = {
    "customer": {"region": "UK", "name": "Acme"},
    "project": {
        "region": "UK",
        "name": "Move",
        "customer_id": "cus_1",
        "billing_method": "time_and_materials",
        "currency": "EUR",
    },
    "resource": {"region": "UK", "name": "A. Person", "kind": "employee"},
    "contract": {"region": "UK", "customer_id": "cus_1", "title": "SOW 1", "kind": "sow", "currency": "EUR"},
    "time_entry": {
        "region": "UK",
        "resource_id": "res_1",
        "project_id": "prj_1",
        "date": "2026-02-28",
        "hours": "7.5",
        "billable": True,
    },
    "expense": {
        "region": "UK",
        "resource_id": "res_1",
        "project_id": "prj_1",
        "date": "2026-02-28",
        "category": "travel",
        "amount": EUR,
        "billable": False,
    },
    "invoice": {
        "region": "UK",
        "customer_id": "cus_1",
        "currency": "EUR",
        "issue_date": "2026-02-28",
        "lines": [{"amount": EUR}],
    },
    "payment": {"region": "UK", "customer_id": "cus_1", "received_on": "2026-02-28", "amount": EUR},
}

_COMMON: dict[str, Any] = {
    "legal_entity": "UK01",
    "external_refs": {"legacy": "10001", "cloud": "C-1"},
    "custom_fields": {"any": {"thing": [1, 2.5, None, "x"]}},
}

_MORE: dict[str, dict[str, Any]] = {
    "customer": {
        "number": "C-1",
        "legal_name": "Acme Ltd",
        "tax_id": "GB123",
        "registration_number": "0815",
        "email": "post@acme.example",
        "phone": "+44 20 1",
        "website": "https://acme.example",
        "billing_address": {
            "line1": "1 Road",
            "line2": "2nd floor",
            "city": "Zürich",
            "state": "ZH",
            "postal_code": "8001",
            "country": "CH",
        },
        "currency": "GBP",
        "payment_terms_days": 30,
        "credit_limit": EUR,
        "parent_id": "cus_2",
        "language": "de-CH",
    },
    "project": {
        "number": "P-1",
        "contract_id": "con_1",
        "manager_id": "res_1",
        "start_date": "2026-01-01",
        "end_date": "2026-12-31",
        "budget_hours": "1200.25",
        "budget_amount": EUR,
        "practice": "Cloud",
        "cost_center": "4711",
        "tasks": [{"code": "T1", "name": "Plan", "billable": True}],
    },
    "resource": {
        "number": "R-1",
        "email": "a@firm.example",
        "role": "Engineer",
        "grade": "G5",
        "skills": [{"name": "SQL", "level": "expert"}],
        "cost_rate": SOME,
        "bill_rate": EUR,
        "capacity_hours_per_week": "37.5",
        "manager_id": "res_2",
        "employed_from": "2020-01-01",
        "employed_to": "2030-01-01",
    },
    "contract": {
        "number": "K-1",
        "signed_on": "2026-01-01",
        "start_date": "2026-01-01",
        "end_date": "2026-12-31",
        "value": EUR,
        "payment_terms_days": 14,
        "rate_card": [{"role": "Engineer", "rate": EUR, "unit": "day"}],
        "milestones": [
            {"code": "M1", "name": "Go live", "amount": EUR, "due_date": "2026-06-30", "state": "open"}
        ],
        "billing_schedule": [{"due_date": "2026-06-30", "amount": EUR, "description": "half"}],
        "revenue_method": "percentage_of_completion",
        "document_ref": "DOC-1",
    },
    "time_entry": {"task_code": "T1", "note": "line\nbreak", "rate": EUR, "timesheet_ref": "TS-1"},
    "expense": {
        "tax_amount": SOME,
        "reimbursable": True,
        "receipt_ref": "RC-1",
        "note": "taxi",
        "merchant": "Cab",
    },
    "invoice": {
        "lines": [
            {
                "number": 1,
                "description": "Work",
                "project_id": "prj_1",
                "kind": "time",
                "quantity": "10",
                "unit_price": {"amount": "125.00", "currency": "EUR"},
                "amount": EUR,
                "tax_code": "S",
                "tax_amount": SOME,
                "source_ids": ["tim_1"],
            }
        ],
        "number": "I-1",
        "project_id": "prj_1",
        "contract_id": "con_1",
        "due_date": "2026-03-30",
        "posting_date": "2026-03-01",
        "net_total": EUR,
        "tax_total": SOME,
        "total": {"amount": "1300.00", "currency": "EUR"},
        "balance": {"amount": "1300.00", "currency": "EUR"},
    },
    "payment": {
        "method": "wire",
        "reference": "W-1",
        "allocations": [{"invoice_id": "inv_1", "amount": SOME}],
    },
}


def smallest(entity: str) -> dict[str, Any]:
    return copy.deepcopy(SMALLEST[entity])


def fullest(entity: str) -> dict[str, Any]:
    return copy.deepcopy({**SMALLEST[entity], **_MORE[entity], **_COMMON})
