"""What the firm's upstream systems write: bodies of ``/v1``, each with a number that nobody else has."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import count
from random import Random
from typing import Any

REGION = "DACH"
CURRENCY = "EUR"
FIRST_DAY = date(2026, 11, 2)
TASKS = ("ANALYSIS", "BUILD", "TEST")
#: The second is longer than the legacy ERP's field: a declared loss, which comparing has to explain.
NAMES = (
    "Nordlicht Anlagenbau",
    "Kupferstern Maschinen- und Apparatebaugesellschaft",
    "Auwald Logistik",
    "Tannhof Werke",
)
NOTES = ("On site", "Workshop with the plant", "Desk work", "Travel and set-up", "Nachtrag für Übergabe")

Body = dict[str, Any]

#: Entity -> what a patch may touch without changing what the record means; used to write a record once more.
NEUTRAL = {
    "customer": ("language", "de"),
    "resource": ("grade", "G2"),
    "project": ("practice", "Operations"),
    "invoice": ("due_date", "2026-12-31"),
    "payment": ("method", "bank_transfer"),
}


def money(cents: int) -> Body:
    return {"amount": f"{cents // 100}.{cents % 100:02d}", "currency": CURRENCY}


class Firm:
    """Makes bodies; deterministic by its seed."""

    def __init__(self, seed: int) -> None:
        self.rng = Random(seed)  # noqa: S311 - test data, not secrets
        self._numbers = count(1)

    def _number(self, prefix: str) -> str:
        return f"{prefix}-{next(self._numbers):05d}"

    def day(self) -> str:
        return (FIRST_DAY + timedelta(days=self.rng.randrange(20))).isoformat()

    def customer(self) -> Body:
        number = self._number("DC")
        return {
            "name": f"{self.rng.choice(NAMES)} {number[-3:]}",
            "number": number,
            "email": f"ap@{number.lower()}.example",
            "currency": CURRENCY,
            "payment_terms_days": self.rng.choice((14, 30, 45)),
            "credit_limit": money(self.rng.randrange(1_000_000, 9_000_000)),
            "billing_address": {"line1": "Am Kai 1", "city": "Ulm", "postal_code": "89073", "country": "DE"},
        }

    def resource(self) -> Body:
        number = self._number("DR")
        return {
            "name": f"Consultant {number[-5:]}",
            "number": number,
            "kind": "employee",
            "role": "Consultant",
            "bill_rate": money(self.rng.randrange(9_000, 20_000)),
            "capacity_hours_per_week": "38.5",
        }

    def project(self, customer_id: str) -> Body:
        number = self._number("DP")
        return {
            "name": f"Line upgrade {number[-5:]}",
            "number": number,
            "customer_id": customer_id,
            "billing_method": "time_and_materials",
            "currency": CURRENCY,
            "budget_hours": "400",
            "tasks": [{"code": code, "name": code.title(), "billable": True} for code in TASKS],
        }

    def time_entry(self, resource_id: str, project_id: str) -> Body:
        return {
            "resource_id": resource_id,
            "project_id": project_id,
            "date": self.day(),
            "hours": self.rng.choice(("7.5", "8", "3.25", "1.333")),
            "billable": True,
            "task_code": self.rng.choice(TASKS),
            "note": self.rng.choice(NOTES),
            "rate": money(self.rng.randrange(9_000, 20_000)),
            "timesheet_ref": self._number("DT"),
        }

    def expense(self, resource_id: str, project_id: str, cents: int, note: str) -> Body:
        return {
            "resource_id": resource_id,
            "project_id": project_id,
            "date": self.day(),
            "category": "travel",
            "amount": money(cents),
            "billable": True,
            "note": note,
            "receipt_ref": self._number("DE"),
        }

    def invoice(self, customer_id: str, project_id: str) -> Body:
        lines: list[Body] = []
        for number in range(1, self.rng.randrange(2, 5)):
            quarters, price = self.rng.randrange(4, 160), self.rng.randrange(9_000, 20_000)
            # Rounded half up, as the ERPs do: a quarter hour at an odd price ends between two cents.
            cents = (quarters * price + 2) // 4
            lines.append(
                {
                    "number": number,
                    "description": "Consulting",
                    "project_id": project_id,
                    "kind": "time",
                    "quantity": f"{quarters * 25 // 100}.{quarters * 25 % 100:02d}",
                    "unit_price": money(price),
                    "amount": money(cents),
                    "tax_code": "standard",
                    "tax_amount": money((cents * 19 + 50) // 100),
                }
            )
        return {
            "customer_id": customer_id,
            "project_id": project_id,
            "currency": CURRENCY,
            "issue_date": self.day(),
            "number": self._number("DI"),
            "lines": lines,
        }

    def payment(self, customer_id: str) -> Body:
        return {
            "customer_id": customer_id,
            "received_on": self.day(),
            "amount": money(self.rng.randrange(10_000, 900_000)),
            "method": "bank_transfer",
            "reference": self._number("DY"),
        }
