"""Records that part in every way that the bridge knows, in five currencies, and what each of them weighs."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from gateway.reconcile import Run, Term
from tests.integration.ledger.world import World, customer, fresh, invoice

CURRENCIES = ("GBP", "EUR", "USD", "CHF", "JPY")
REGION = "UK"
MIRROR = "cloud"


def money(amount: Decimal | str, currency: str) -> dict[str, str]:
    return {"amount": str(amount), "currency": currency}


def bill(customer_id: str, currency: str, amount: str) -> dict[str, Any]:
    """An invoice of one line; yen have no cents."""
    if currency == "JPY":
        amount = amount.split(".")[0]
    return invoice(
        customer_id,
        number=fresh(),
        currency=currency,
        lines=[{"description": "Survey", "kind": "fee", "amount": money(amount, currency), "number": 1}],
        net_total=money(amount, currency),
        tax_total=money("0" if currency == "JPY" else "0.00", currency),
        total=money(amount, currency),
    )


class Planted:
    """``expected[term][currency]`` are the records of a term with the part of each in ``total``."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.expected: dict[Term, dict[str, dict[str, Decimal]]] = {term: defaultdict(dict) for term in Term}
        self.mend: list[tuple[str, str]] = []  #: native id in the mirror, and the amount that is right
        self.waivers: list[str] = []

    async def invoices(
        self, customer_id: str, amount: str, count: int = 1
    ) -> dict[str, list[dict[str, Any]]]:
        """Equal invoices on both sides, by currency."""
        return {
            currency: [
                await self.world.made("invoices", bill(customer_id, currency, amount), key=fresh())
                for _ in range(count)
            ]
            for currency in CURRENCIES
        }

    async def everything(self) -> None:
        """Plants all of it; afterwards nothing is on its way but what is queued."""
        world = self.world
        owner = (await world.made("customers", customer(number=fresh())))["id"]
        await self.invoices(owner, "100.10", 3)
        late = await self.invoices(owner, "200.20")
        waived = await self.invoices(owner, "300.30")
        wrong = await self.invoices(owner, "400.40")
        gone = await self.invoices(owner, "500.50")
        await world.quiet()
        await self._parked(owner)
        await self._queued()
        for currency in CURRENCIES:
            await self._edited(Term.LATE, late[currency][0], Decimal(7))
            await self._edited(Term.WAIVED, waived[currency][0], Decimal(11))
            await self._edited(Term.UNEXPLAINED, wrong[currency][0], Decimal(13))
            await self._deleted(gone[currency][0])
            await self._only_in_the_mirror(owner, currency)

    async def _native(self, record_id: str, entity: str = "invoices") -> str:
        return (await self.world.get(f"/v1/{entity}/{record_id}")).json()["external_refs"][MIRROR]

    async def _parked(self, owner: str) -> None:
        """In case: the mirror refuses them on its own rules."""
        fault = self.world.sandbox.fault(MIRROR, "error", status=400, on=["writes"], entity=["invoice"])
        for currency in CURRENCIES:
            answer = await self.world.create("invoices", bill(owner, currency, "600.60"), key=fresh())
            await self.world.reaches(answer, "attention")
            self._is(Term.IN_CASE, answer.json(), Decimal(answer.json()["total"]["amount"]))
        self.world.sandbox.heal(MIRROR, fault)

    async def _queued(self) -> None:
        """Queued: the mirror does not have their customer yet, so they wait for it."""
        fault = self.world.sandbox.fault(MIRROR, "error", status=400, on=["writes"], entity=["customer"])
        answer = await self.world.create("customers", customer(number=fresh()))
        await self.world.reaches(answer, "attention")
        self.world.sandbox.heal(MIRROR, fault)
        for currency in CURRENCIES:
            body = bill(answer.json()["id"], currency, "700.70")
            made = await self.world.made("invoices", body, key=fresh())
            self._is(Term.QUEUED, made, Decimal(made["total"]["amount"]))

    async def _edited(self, term: Term, made: dict[str, Any], less: Decimal) -> None:
        """Somebody changes the total in the mirror."""
        right = Decimal(made["total"]["amount"])
        native = await self._native(made["id"])
        self.world.sandbox.edit(MIRROR, "invoice", native, {"TotalAmount": str(right - less)})
        self._is(term, made, less)
        if term is Term.LATE:
            self.mend.append((native, str(right)))
        if term is Term.WAIVED:
            currency = made["currency"]
            wish = {
                "entity": "invoice",
                "region": REGION,
                "field": "total",
                "class": "amount",
                "reason": "agreed with the auditors",
                "owner": "controller",
                "expires_at": (datetime.now(UTC) + timedelta(days=7)).isoformat(),
                "pair": {
                    "authority": money(right, currency),
                    "other": money(right - less, currency),
                },
            }
            answer = await self.world.client.post("/admin/v1/waivers", json=wish)
            assert answer.status_code == 201, answer.text
            self.waivers.append(answer.json()["id"])

    async def _deleted(self, made: dict[str, Any]) -> None:
        """Unexplained: somebody deletes it in the mirror."""
        native = await self._native(made["id"])
        self.world.sandbox.edit(MIRROR, "invoice", native, {}, action="delete")
        self._is(Term.UNEXPLAINED, made, Decimal(made["total"]["amount"]))

    async def _only_in_the_mirror(self, owner: str, currency: str) -> None:
        """Unexplained: somebody writes it in the mirror alone. Its canonical id is not known before it is read."""
        amount = Decimal(17)
        row = self.world.sandbox.edit(
            MIRROR,
            "invoice",
            "",
            {
                "Number": fresh("X"),
                "LegalEntity": "UK01",
                "Status": "Draft",
                "CustomerNo": await self._native(owner, "customers"),
                "CurrencyCode": currency,
                "IssueDate": "2026-03-31",
                "NetAmount": str(amount),
                "TaxAmount": "0",
                "TotalAmount": str(amount),
                "OpenAmount": str(amount),
                "Lines": [{"LineNo": 1, "Description": "By hand", "Kind": "Fee", "Amount": str(amount)}],
            },
            action="insert",
        )
        self.expected[Term.UNEXPLAINED][currency][f"native {row['key']}"] = -amount

    def _is(self, term: Term, made: dict[str, Any], part: Decimal) -> None:
        self.expected[term][made["currency"]][made["id"]] = part

    # --- what becomes of it --------------------------------------------------------------------------------------

    def mend_the_late_ones(self) -> None:
        """The mirror catches up."""
        for native, amount in self.mend:
            self.world.sandbox.edit(MIRROR, "invoice", native, {"TotalAmount": amount})

    async def known(self) -> dict[Term, dict[str, dict[str, Decimal]]]:
        """``expected`` with the canonical ids that reading has given to what only the mirror holds."""
        out: dict[Term, dict[str, dict[str, Decimal]]] = {}
        for term, currencies in self.expected.items():
            out[term] = {}
            for currency, parts in currencies.items():
                named: dict[str, Decimal] = {}
                for record_id, part in parts.items():
                    if record_id.startswith("native "):
                        key = (MIRROR, "invoice", record_id.removeprefix("native "))
                        record_id = (await self.world.gateway.records.canonical_ids([key]))[key]
                    named[record_id] = part
                out[term][currency] = named
        return out


async def followed(world: World, run: Run, *states: str, within_s: float = 30.0) -> Run:
    """The run once it has ended in one of these states."""
    wanted = states or ("done",)

    async def over() -> Run | None:
        told = await world.gateway.reconciler.get(run.id)
        assert told.state in (*wanted, "running"), told.note
        return told if told.state in wanted else None

    return await world.until(over, f"{run.id} is {wanted}", within_s)


async def gate(world: World, entity: str, region: str) -> str:
    """What the slice's gate of readiness says of its last reconciliation."""
    told = (await world.get(f"/admin/v1/readiness/{entity}/{region}")).json()
    return next(one["verdict"] for one in told["gates"] if one["name"] == "reconciliation")
