"""What callers ask for, made of parts that are drawn."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.canonical import BY_NAME
from gateway.canonical.decode import decode_draft
from gateway.dispatch.command import Command, Kind
from tests.simulation.callers import Known
from tests.simulation.scenario import LEGAL_ENTITY, REGION

#: What an update changes, by entity.
CHANGES = {
    "customer": ("name", "email", "number"),
    "project": ("name", "practice", "number"),
    "invoice": ("due_date", "lines", "number"),
}
_METHODS: dict[Kind, tuple[str, str]] = {
    "create": ("POST", ""),
    "update": ("PATCH", "/{id}"),
    "transition": ("POST", "/{id}/transitions"),
}


class Wish(msgspec.Struct, kw_only=True):
    """One wish of one caller, however often it is asked for. ``key`` is None for one that is asked for without."""

    request: int
    client: str
    command: Command
    asked: int = 0  #: tries

    @property
    def key(self) -> tuple[str, str, str] | None:
        """What an idempotency key is unique in: one caller, one route."""
        key = self.command.idempotency_key
        return None if key is None else (self.client, self.command.route, key)

    @property
    def number(self) -> str | None:
        return self.command.body.get("number")

    @property
    def barred(self) -> bool:
        """Some system does not take such a name."""
        return "not for" in str(self.command.body.get("name", ""))


def _command(
    kind: Kind, entity: str, request: int, body: dict[str, Any], *, key: str | None, **more: Any
) -> Command:
    method, tail = _METHODS[kind]
    return Command(
        kind=kind,
        entity=entity,
        client=more.pop("client"),
        method=method,
        route=f"/v1/{BY_NAME[entity].collection}{tail}",
        body=body,
        idempotency_key=key,
        trace={"X-Request-Id": str(request)},
        **more,
    )


def name_of(request: int, barred: str | None) -> str:
    return f"name {request}" + (f", not for {barred}" if barred else "")


def create(
    request: int,
    client: str,
    entity: str,
    *,
    number: int | None,
    barred: str | None,
    customer: str | None,
    wait_s: float,
    keyed: bool = True,
) -> Wish:
    body: dict[str, Any] = {}
    if number is not None:
        body["number"] = f"N{number}"
    if entity == "invoice":
        body |= {
            "customer_id": customer,
            "currency": "GBP",
            "issue_date": "2026-03-02",
            "lines": lines(request),
        }
    else:
        body["name"] = name_of(request, barred)
        if entity == "customer":
            body["email"] = f"a{request}@example.com"
        else:
            body |= {"customer_id": customer, "billing_method": "fixed_price", "currency": "GBP"}
            body["practice"] = "Survey"
    draft = decode_draft(BY_NAME[entity], msgspec.json.encode({"region": REGION, **body}))
    command = _command(
        "create",
        entity,
        request,
        draft.document,
        key=f"k{request}" if keyed else None,
        client=client,
        region=REGION,
        wait_s=wait_s,
    )
    return Wish(request=request, client=client, command=command)


def update(
    request: int,
    client: str,
    record: Known,
    field: str,
    *,
    number: int,
    barred: str | None,
    if_match: int | None,
    wait_s: float,
    keyed: bool = True,
) -> Wish:
    value: Any = {
        "name": name_of(request, barred),
        "email": f"b{request}@example.com",
        "practice": f"practice {request}",
        "number": f"N{number}",
        "due_date": f"2026-04-{1 + request % 28:02d}",
        "lines": lines(request),
    }[field]
    command = _command(
        "update",
        record.entity,
        request,
        {field: value},
        key=f"k{request}" if keyed else None,
        client=client,
        record_id=record.id,
        if_match=if_match,
        wait_s=wait_s,
    )
    return Wish(request=request, client=client, command=command)


def transition(
    request: int, client: str, record: Known, to: str, *, if_match: int | None, wait_s: float
) -> Wish:
    command = _command(
        "transition",
        record.entity,
        request,
        {"to": to},
        key=f"k{request}",
        client=client,
        record_id=record.id,
        if_match=if_match,
        wait_s=wait_s,
    )
    return Wish(request=request, client=client, command=command)


def entered(number: int | None, name: str) -> dict[str, Any]:
    """A customer as somebody types it into a system."""
    numbered = {} if number is None else {"number": f"N{number}"}
    return {"name": name, "state": BY_NAME["customer"].lifecycle.initial, "legal_entity": LEGAL_ENTITY, **numbered}


def with_another_body(wish: Wish, request: int) -> Wish:
    """The same key for something else."""
    body = (
        {"to": "nowhere"}
        if wish.command.kind == "transition"
        else {**wish.command.body, "number": f"X{request}"}
    )
    command = msgspec.structs.replace(wish.command, body=body, trace={"X-Request-Id": str(request)})
    return Wish(request=request, client=wish.client, command=command)


def lines(request: int) -> list[dict[str, Any]]:
    """Invoice lines in wire form; another sum for each request."""
    return [
        {
            "number": place,
            "description": "Work",
            "amount": {"amount": f"{request}.0{place}", "currency": "GBP"},
        }
        for place in range(1, 2 + request % 2)
    ]
