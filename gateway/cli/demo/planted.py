"""Differences put into an ERP behind everyone's back, each of which comparing has to find, with the right field."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.canonical import BY_NAME
from gateway.cli.demo.firm import REGION, Firm
from gateway.cli.demo.traffic import Traffic
from gateway.cli.demo.wire import Api, Control, Stopped, until

FIND_S = 45.0
#: Fields that are planted in and hold money.
MONEY = frozenset({"rate", "balance"})


class Plan(msgspec.Struct, frozen=True):
    """What is done to one record. Positional on purpose: it is written once, as the tables below."""

    entity: str
    what: str
    system: str
    native: str | None  #: the ERP's own field; None: the record is deleted
    value: Any  #: as that ERP's wire spells it
    fields: tuple[str, ...]  #: canonical fields that must be named; "" is the record as a whole


class Plant(msgspec.Struct, kw_only=True):
    """A difference that stands in an ERP."""

    entity: str
    what: str
    system: str
    record: str
    fields: tuple[str, ...]
    phase: str
    found: tuple[str, ...] | None = None  #: the fields that comparing named
    undo: tuple[str, dict[str, Any]] | None = None


# fmt: off
#: Where the cloud ERP is the other side.
IN_THE_CLOUD = (
    Plan("time_entry", "hours changed",           "cloud",  "Hours",        "99.25",               ("hours",)),
    Plan("time_entry", "rate changed by a cent",  "cloud",  "Rate",         "0.01",                ("rate",)),
    Plan("time_entry", "task code changed",       "cloud",  "TaskCode",     "OTHER",               ("task_code",)),
    Plan("time_entry", "booked on another day",   "cloud",  "WorkDate",     "2026-02-28",          ("date",)),
    Plan("time_entry", "no longer billable",      "cloud",  "Billable",     None,                  ("billable",)),
    Plan("invoice",    "a cent in the balance",   "cloud",  "OpenAmount",   "0.01",                ("balance",)),
    Plan("expense",    "deleted",                 "cloud",  None,           None,                  ("",)),
)
#: Where the legacy ERP is the other side, because the cloud ERP answers.
IN_THE_LEGACY = (
    Plan("time_entry", "hours changed",           "legacy", "Stunden",      "99,25",               ("hours",)),
    Plan("time_entry", "note shortened",          "legacy", "Notiz",        "Desk",                ("note",)),
    Plan("customer",   "payment terms changed",   "legacy", "Zahlungsziel", "77",             ("payment_terms_days",)),
)
# fmt: on


class Unplanted(Stopped):
    """A difference could not be planted."""


class Planter:
    """Plants, looks for what was found, and takes back what was planted."""

    def __init__(self, api: Api, control: Control, traffic: Traffic) -> None:
        self._api = api
        self._control = control
        self._traffic = traffic
        self._seeds: dict[str, list[str]] = {}
        self.plants: list[Plant] = []

    async def choose(self) -> None:
        """Sets records of the firm aside that no story ever writes."""
        for entity, count in (("time_entry", 25), ("invoice", 2), ("expense", 3), ("customer", 4)):
            page = await self._api.get(
                f"/v1/{BY_NAME[entity].collection}", region=REGION, legal_entity="DE01", limit=str(count)
            )
            self._seeds[entity] = [
                one["id"]
                for one in page["items"]
                if entity != "time_entry" or ("rate" in one and "note" in one)
            ]

    async def plant(self, plans: tuple[Plan, ...]) -> list[Plant]:
        """Makes the edits, and reads each record once through ``/v1``, as any client might."""
        made: list[Plant] = []
        for plan in plans:
            if not self._seeds[plan.entity]:
                raise Unplanted(
                    f"the firm has too few {plan.entity} records in {REGION}; take a larger --scale"
                )
            record = self._seeds[plan.entity].pop(0)
            document, native = await self._both_know(plan.entity, record, plan.system)
            plant = Plant(
                entity=plan.entity,
                what=plan.what,
                system=plan.system,
                record=record,
                fields=plan.fields,
                phase=self._traffic.phase.name,
            )
            if plan.native is None:
                await self._control.edit(plan.system, plan.entity, "delete", native, {})
            else:
                given, before = _values(plan, document)
                await self._control.edit(plan.system, plan.entity, "edit", native, {plan.native: given})
                plant.undo = native, {plan.native: before}
            made.append(plant)
        self.plants += made
        for plant in made:
            await self.look_at(plant)
        return made

    async def plant_by_write(self) -> list[Plant]:
        """The cloud ERP rounds one write and shortens another by itself."""
        firm: Firm = self._traffic.firm
        made: list[Plant] = []
        for kind, fields, only in (("rounding", ("amount",), None), ("truncation", ("note",), ["note"])):
            fault = await self._control.arm(
                "cloud", kind=kind, entity=["expense"], on=["writes"], count=1, fields=only
            )
            body = firm.expense(
                self._traffic.active["resource"][0], self._traffic.active["project"][0], 12_345, "Night train"
            )
            one = await self._traffic.accept("expense", body)
            if one is None:
                raise Unplanted(f"the expense for the {kind} was refused")

            async def struck(fault: str = fault) -> bool | None:
                return (await self._control.hits("cloud", fault) > 0) or None

            await until(struck, f"the {kind} of a write in the cloud", FIND_S)
            await self._control.disarm("cloud", fault)
            what = "rounded by the ERP" if kind == "rounding" else "shortened by the ERP"
            made.append(
                Plant(
                    entity="expense", what=what, system="cloud", record=one.id, fields=fields,
                    phase=self._traffic.phase.name,
                )
            )  # fmt: skip
        self.plants += made
        return made

    async def found(self, plants: list[Plant]) -> None:
        """Waits until each of ``plants`` is reported as a mismatch."""

        async def all_found() -> bool | None:
            reported = await self.reported()
            for plant in plants:
                if plant.found is None and (plant.record in reported):
                    plant.found = reported[plant.record]
            return all(plant.found is not None for plant in plants) or None

        await until(all_found, f"a report of {len(plants)} planted differences", FIND_S)

    async def reported(self) -> dict[str, tuple[str, ...]]:
        """Record -> the fields in which it was ever reported as a mismatch."""
        found: dict[str, set[str]] = {}
        for diff in await self._api.every("/admin/v1/diffs", verdict="mismatch"):
            fields = {one["field"] for one in diff["differences"] if not one.get("explained")}
            found.setdefault(diff["record_id"], set()).update(fields)
        return {record: tuple(sorted(fields)) for record, fields in found.items()}

    async def take_back(self, plants: list[Plant]) -> None:
        """Somebody corrects what was changed, and each record is looked at once more until it is consistent."""
        for plant in plants:
            if plant.undo is not None:
                native, given = plant.undo
                await self._control.edit(plant.system, plant.entity, "edit", native, given)
        mended = {plant.record for plant in plants if plant.undo is not None}

        async def all_consistent() -> bool | None:
            for plant in plants:
                if plant.record in mended:
                    await self.look_at(plant)
            diffs = await self._api.every("/admin/v1/diffs", verdict="mismatch")
            standing = {one["record_id"] for one in diffs if one["resolved_at"] is None}
            return not standing & mended or None

        await until(all_consistent, f"{len(mended)} corrected records to be consistent", FIND_S)

    async def look_at(self, plant: Plant) -> None:
        await self._api.get(f"/v1/{BY_NAME[plant.entity].collection}/{plant.record}")

    async def _both_know(self, entity: str, record: str, system: str) -> tuple[Any, str]:
        """The record, once the crosswalk knows it in ``system``: a compared read finds it there by its number."""

        async def known() -> tuple[Any, str] | None:
            document = await self._api.get(f"/v1/{BY_NAME[entity].collection}/{record}")
            native = document["external_refs"].get(system)
            return None if native is None else (document, native)

        return await until(known, f"{entity} {record} in the crosswalk for {system}", FIND_S)


def _values(plan: Plan, document: Any) -> tuple[Any, Any]:
    """What is written into the ERP's field, and what stood there before, as its wire spells them."""
    field = plan.fields[0]
    before = document[field]
    if field in MONEY:
        amount: str = before["amount"]
        cents = int(amount.replace(".", "")) + 1
        return f"{cents // 100}.{cents % 100:02d}", amount
    if isinstance(before, bool):
        return not before, before
    if plan.system == "legacy":
        return plan.value, str(before).replace(".", ",") if field == "hours" else str(before)
    return plan.value, before
