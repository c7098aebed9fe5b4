"""Upstream systems: what they ask for, how they repeat themselves, and what they note down about it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from gateway.canonical import BY_NAME, INVOICE
from gateway.canonical.decode import decode_draft
from gateway.dispatch.command import Answer, Command, Kind, Read
from gateway.errors import GatewayError
from gateway.http.problems import PROBLEMS
from tests.simulation.history import Said
from tests.simulation.scenario import REGION, Scenario

#: Refusals that say "not now": the same request may be sent again.
_LATER = {
    "TwinRunning",
    "PendingWrite",
    "NotAccepted",
    "SystemUnavailable",
    "StoreUnavailable",
    "TooManyRequests",
}


class Lost(Exception):
    """No answer came: the connection broke, or the caller would not wait any longer."""


class Known(msgspec.Struct):
    """A record as the callers know it."""

    id: str
    entity: str
    version: int = 0
    state: str = ""


class Shared(msgspec.Struct):
    """What the callers tell each other, and their common notebook."""

    said: list[Said]
    records: dict[str, Known]
    requests: int = 0
    numbers: int = 0
    made: int = 0


Ask = Callable[[Callable[[Any], Awaitable[Any]], float | None], Awaitable[Any]]


class Caller:
    """One upstream system. ``ask`` sends a request to some replica: it returns its answer, raises its refusal, or
    raises Lost."""

    def __init__(
        self,
        *,
        name: str,
        scenario: Scenario,
        rng: random.Random,
        shared: Shared,
        ask: Ask,
        now: Callable[[], float],
        effects: Callable[[], int],
        say: Callable[[str, str], None],
    ) -> None:
        self.name = name
        self._scenario = scenario
        self._rng = rng
        self._shared = shared
        self._ask = ask
        self._now = now
        self._effects = effects
        self._say = say

    async def run(self) -> None:
        for _ in range(self._scenario.operations):
            await asyncio.sleep(self._rng.expovariate(1.0 / self._scenario.pace_s))
            wish = self._wish()
            if wish is None:
                await self._read()
            else:
                await self._carry(wish)

    # --- what it wants ---------------------------------------------------------------------------------------

    def _wish(self) -> Command | None:
        rng, shared, scenario = self._rng, self._shared, self._scenario
        known = [one for one in shared.records.values() if one.entity in scenario.kinds]
        customers = [one for one in known if one.entity == "customer"]
        if not customers or (shared.made < scenario.records and rng.random() < 0.45):
            shared.made += 1
            others = [one for one in scenario.kinds if one != "customer"]
            entity = rng.choice(others) if customers and others and rng.random() < 0.6 else "customer"
            return self._create(entity, rng.choice(customers).id if customers else "")
        if rng.random() < 0.12:
            return None
        one = rng.choice(known)
        return self._move(one) if rng.random() < 0.3 else self._change(one)

    def _command(
        self, kind: Kind, entity: str, body: dict[str, Any], record: Known | None = None, **more: Any
    ) -> Command:
        rng = self._rng
        collection = BY_NAME[entity].collection
        route = {
            "create": f"/v1/{collection}",
            "update": f"/v1/{collection}/{{id}}",
            "transition": f"/v1/{collection}/{{id}}/transitions",
        }[kind]
        self._shared.requests += 1
        keyed = entity == "invoice" or rng.random() < 0.8
        if_match = None
        if record is not None and kind != "create" and (entity == "invoice" or rng.random() < 0.15):
            if_match = max(1, record.version - (1 if rng.random() < 0.1 else 0))
        return Command(
            kind=kind,
            entity=entity,
            client=self.name,
            method="PATCH" if kind == "update" else "POST",
            route=route,
            body=body,
            record_id=None if record is None else record.id,
            idempotency_key=f"k{self._shared.requests}" if keyed else None,
            if_match=if_match,
            wait_s=rng.choice((0.0, 2.0, 5.0, 5.0)),
            trace={"X-Request-Id": str(self._shared.requests)},
            **more,
        )

    def _create(self, entity: str, customer: str) -> Command:
        rng, shared = self._rng, self._shared
        body: dict[str, Any] = {"name": f"{entity} of {self.name} {shared.requests}"}
        if rng.random() < self._scenario.numbered:
            if rng.random() > 0.15 or not shared.numbers:
                shared.numbers += 1
            body["number"] = f"N{shared.numbers}"
        if entity == "customer":
            body["email"] = f"a{shared.requests}@example.com"
        elif entity == "project":
            body.update(customer_id=customer, billing_method="fixed_price", currency="GBP", practice="Survey")
        else:
            body.update(customer_id=customer, currency="GBP", issue_date="2026-03-02", lines=_lines(rng))
            del body["name"]
        draft = decode_draft(BY_NAME[entity], msgspec.json.encode({"region": REGION, **body}))
        return self._command("create", entity, draft.document, region=REGION)

    def _change(self, one: Known) -> Command:
        rng, shared = self._rng, self._shared
        mark = f"{shared.requests}"
        if one.entity == "invoice":
            body: dict[str, Any] = (
                {"due_date": f"2026-04-{rng.randint(1, 28):02d}"}
                if rng.random() < 0.6
                else {"lines": _lines(rng)}
            )
        else:
            body = {"name": f"n{mark} of {self.name} in full"}
            if rng.random() < 0.2:
                body = (
                    {"practice": f"p{mark}"} if one.entity == "project" else {"email": f"b{mark}@example.com"}
                )
            if rng.random() < 0.12:
                shared.numbers += rng.random() < 0.8
                body["number"] = f"N{shared.numbers}"
        return self._command("update", one.entity, body, one)

    def _move(self, one: Known) -> Command:
        lifecycle = BY_NAME[one.entity].lifecycle
        state = one.state or lifecycle.initial
        legal = lifecycle.legal(state) or lifecycle.states
        # A record that is void or closed is of no more use to anybody, so that is rarely asked for.
        wanted = legal[0] if self._rng.random() < 0.9 else self._rng.choice(lifecycle.states)
        return self._command("transition", one.entity, {"to": wanted}, one)

    # --- how it gets it --------------------------------------------------------------------------------------

    async def _carry(self, command: Command) -> None:
        """Asks until there is an answer, or until another try might do it twice."""
        request = int(command.trace["X-Request-Id"])
        keyed = command.idempotency_key is not None
        asks = 0
        while asks < 14:
            asks += 1
            heard = await self.once(command, request, asks, self._patience(asks))
            if isinstance(heard, Lost):
                if not keyed:
                    return
            elif isinstance(heard, GatewayError):
                if type(heard).__name__ not in _LATER:
                    return
            elif not keyed or (self._rng.random() > 0.1 if heard.status != 202 else self._rng.random() < 0.3):
                return
            await asyncio.sleep(self._rng.choice((0.2, 1.0, 1.0, 4.0)))

    async def once(
        self, command: Command, request: int, attempt: int, patience_s: float | None = None
    ) -> Answer | GatewayError | Lost:
        """One try, noted down with what came of it. ``patience_s``: when the caller hangs up; None: when nobody would
        wait any longer."""
        tried = msgspec.structs.replace(command, trace={"X-Request-Id": f"{request}.{attempt}"})
        self._note("invoke", tried, request, attempt)
        try:
            answer: Answer = await self._ask(lambda replica: replica.executor.write(tried), patience_s)
        except Lost as lost:
            self._note("info", tried, request, attempt, problem=str(lost))
            return lost
        except GatewayError as refused:
            name = type(refused).__name__
            self._note(
                "info" if name == "TwinRunning" or refused.facts.get("accepted") == "unknown" else "fail",
                tried,
                request,
                attempt,
                code=PROBLEMS[type(refused)].status,
                problem=name,
                operation=refused.facts.get("operation"),
            )
            return refused
        self._heard(command, answer)
        self._note(
            "ok" if answer.status != 202 else "info",
            tried,
            request,
            attempt,
            record=answer.record_id,
            code=answer.status,
            operation=answer.operation,
            version=answer.version,
            body=msgspec.json.encode(answer.body, order="deterministic").decode()
            if answer.status != 202
            else None,
        )
        return answer

    def _patience(self, asks: int) -> float | None:
        if self._scenario.has("client gone") and asks == 1 and self._rng.random() < 0.25:
            return self._rng.random() * 0.3
        return None

    def _heard(self, command: Command, answer: Answer) -> None:
        known = self._shared.records.setdefault(answer.record_id, Known(answer.record_id, command.entity))
        if answer.version is not None and answer.version > known.version:
            known.version = answer.version
            known.state = answer.body.get("state", known.state)

    async def _read(self) -> None:
        readable = [one for one in self._shared.records.values() if one.version > 0]
        if not readable:
            return
        one = self._rng.choice(readable)
        self._shared.requests += 1
        request = self._shared.requests
        entity = BY_NAME[one.entity]
        command = Command(
            kind="update",
            entity=one.entity,
            client=self.name,
            method="GET",
            route="",
            body={},
            record_id=one.id,
        )
        self._note("invoke", command, request, 1, action="read")
        try:
            read: Read = await self._ask(
                lambda replica: replica.reads.one(entity, one.id, regions=None, trace={}), None
            )
        except Lost as lost:
            self._note("info", command, request, 1, action="read", problem=str(lost))
        except GatewayError as refused:
            code = PROBLEMS[type(refused)].status
            self._note("fail", command, request, 1, action="read", code=code, problem=type(refused).__name__)
        else:
            self._note("ok", command, request, 1, action="read", code=200, version=read.version)

    def _note(
        self,
        kind: str,
        command: Command,
        request: int,
        attempt: int,
        *,
        action: str | None = None,
        **facts: Any,
    ) -> None:
        facts.setdefault("record", command.record_id)
        said = Said(
            place=len(self._shared.said),
            t=self._now(),
            kind=kind,
            request=request,
            attempt=attempt,
            action=action or command.kind,
            entity=command.entity,
            key=command.idempotency_key,
            effects=self._effects(),
            **facts,
        )
        self._shared.said.append(said)
        told = " ".join(
            str(one) for one in (said.code, said.problem, said.operation, said.record) if one is not None
        )
        body = f" {msgspec.json.encode(command.body).decode()[:120]}" if kind == "invoke" else ""
        self._say(
            self.name,
            f"{kind} {said.action} {said.entity} #{request}.{attempt} key={said.key} {told}{body}",
        )


def _lines(rng: random.Random) -> list[dict[str, Any]]:
    """Invoice lines whose amounts add up, in wire form."""
    amounts = [f"{rng.randint(1, 900)}.00" for _ in range(rng.choice((1, 1, 2)))]
    return [
        {"number": place, "description": "Work", "amount": {"amount": one, "currency": "GBP"}}
        for place, one in enumerate(amounts, 1)
    ]


__all__ = ["INVOICE", "Caller", "Known", "Lost", "Shared"]
