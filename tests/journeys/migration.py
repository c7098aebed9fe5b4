"""The two persons of a migration at their terminals, with nothing but the command line and the API."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

import httpx

from gateway.canonical import BY_NAME
from tests.integration.ledger import history
from tests.journeys.program import Done, Program

REGION = "UK"
#: People work for projects of every region.
ELSEWHERE = ("DACH", "US", "APAC")
#: Records of each entity that the callers make before the mirror begins: they are nowhere but in the legacy ERP.
BEFORE = 3
#: Deadline of one step of a migration; a few seconds on a quiet machine.
STEP_S = 90.0
LOOK_S = 0.2
T = TypeVar("T")


def keys_of(program: Program) -> dict[str, str]:
    """The key of the callers, and those of the two persons by role."""
    return {
        name: program.run("keys", "create", name, *scopes, "--json").json["key"]
        for name, scopes in (
            ("upstream", ("--scopes", "read,write")),
            ("operator", ("--role", "operator")),
            ("approver", ("--role", "approver")),
        )
    }


def until(
    what: str,
    seen: Callable[[], T | None],
    within_s: float = STEP_S,
    *,
    else_: Callable[[], object] = lambda: "",
) -> T:
    """What is seen as soon as it is true; ``else_`` is told where it does not come to that."""
    end = time.monotonic() + within_s
    while not (found := seen()):
        assert time.monotonic() < end, f"not within {within_s:g} s: {what} {else_()}"
        time.sleep(LOOK_S)  # between two looks at the state that is waited for
    return found


class Migration:
    """``keys``: the key of each person by role. The operator asks and the approver agrees."""

    def __init__(self, program: Program, address: str, keys: dict[str, str]) -> None:
        self.program = program
        self._http = {
            role: httpx.Client(
                base_url=address, headers={"Authorization": f"Bearer {key}"}, timeout=60, trust_env=False
            )
            for role, key in keys.items()
        }
        self._files: dict[str, Path] = {}
        for role, key in keys.items():
            self._files[role] = program.folder / f"{role}.key"
            self._files[role].write_text(key)

    def __enter__(self) -> Migration:
        return self

    def __exit__(self, *_: object) -> None:
        for client in self._http.values():
            client.close()

    # --- what they ask -------------------------------------------------------------------------------------------

    def cli(self, *words: str, by: str | None = None) -> Done:
        """One command, with a document for its answer."""
        own = () if by is None else ("--key-file", str(self._files[by]))
        return self.program.run(*words, *own, "--json")

    def call(
        self, method: str, path: str, body: Any = None, *, by: str = "operator", **headers: str
    ) -> httpx.Response:
        return self._http[by].request(method, path, json=body, headers=headers)

    def get(self, path: str, **query: str) -> Any:
        answer = self._http["operator"].get(path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def every(self, path: str, **query: str) -> list[Any]:
        """All items of a list, page by page."""
        items: list[Any] = []
        more: dict[str, str] = {}
        while True:
            page = self.get(path, **query, **more, limit="200")
            items += page["items"]
            if page["next_cursor"] is None:
                return items
            more = {"cursor": page["next_cursor"]}

    # --- the rules -----------------------------------------------------------------------------------------------

    def rule(self, entity: str, region: str = REGION) -> dict[str, Any]:
        items = self.get("/admin/v1/rules")["items"]
        return next(one for one in items if (one["entity"], one["region"]) == (entity, region))

    def stage(self, entity: str, stage: str, reason: str, region: str = REGION) -> None:
        """A move that keeps the authority; every read is compared from here on."""
        wish = {
            "stage": stage,
            "reason": reason,
            "expected_version": self.rule(entity, region)["version"],
            "compare_sample": 1,
        }
        answer = self.call("PUT", f"/admin/v1/rules/{entity}/{region}", wish)
        assert (answer.status_code, answer.json().get("stage")) == (200, stage), answer.text

    def switch(self, entity: str, stage: str, reason: str) -> dict[str, Any]:
        """A move that needs two persons, over HTTP."""
        wish = {"entity": entity, "region": REGION, "stage": stage, "reason": reason}

        def asked() -> dict[str, Any] | None:
            answer = self.call("POST", "/admin/v1/switches", wish)
            if answer.status_code == 201:
                return answer.json()
            # What is under way ends by itself; anything else would stand against it for good.
            codes = {error["code"] for error in answer.json()["errors"]}
            assert (answer.status_code, codes <= {"crosswalk"}) == (422, True), answer.text
            return None

        made = until(f"{entity} to be asked for", asked)

        def approved() -> bool:
            there = self.get(made["href"])
            signed = {"evidence_hash": there["evidence_hash"]}
            answer = self.call("POST", f"{made['href']}/approve", signed, by="approver")
            # 409: what was looked at has moved meanwhile, and is looked at anew.
            assert answer.status_code in (200, 409), answer.text
            return answer.status_code == 200

        until(f"{entity} to be approved", approved)
        return self.ended(made["id"])

    def switch_at_terminals(self, entity: str, stage: str, reason: str, *more: str) -> dict[str, Any]:
        """The same by command line."""
        asked = self.cli("switch", "request", entity, REGION, stage, "--reason", reason, *more, by="operator")
        assert asked.code == 0, asked.err
        made = asked.json

        def approved() -> bool:
            there = self.cli("switch", "status", made["id"]).json
            words = ("switch", "approve", made["id"], "--evidence", there["evidence_hash"])
            done = self.cli(*words, by="approver")
            assert done.code == 0 or "what has moved since the request" in done.err, done.err
            return done.code == 0

        until(f"{entity} to be approved", approved)
        return self.ended(made["id"])

    def ended(self, switch: str) -> dict[str, Any]:
        """A switch that was committed, asked for by one and signed by another."""

        def seen() -> dict[str, Any] | None:
            now = self.get(f"/admin/v1/switches/{switch}")
            return now if now["ended_at"] else None

        now = until(f"the end of {switch}", seen)
        assert now["state"] == "committed", now["problem"]
        assert (now["requested_by"], now["approved_by"]) == ("operator", "approver")
        assert now["evidence_hash"] == sha256_of(now["evidence"])
        return now

    # --- the evidence --------------------------------------------------------------------------------------------

    def backfill(self, entity: str, region: str) -> str:
        wish = {"entity": entity, "region": region, "reason": "the mirror begins empty"}
        answer = self.call("POST", "/admin/v1/backfills", wish)
        assert answer.status_code == 202, answer.text
        return answer.json()["id"]

    def backfilled(self, run: str) -> dict[str, Any]:
        """The run at its end, its mirror complete."""

        def done() -> dict[str, Any] | None:
            now = self.get(f"/admin/v1/backfills/{run}")
            assert now["state"] not in ("failed", "cancelled"), now
            return now if now["state"] == "done" else None

        ended = until(f"the end of {run}", done, within_s=2 * STEP_S)
        assert ended["complete"], (ended, self.differences(ended["entity"]))
        return ended

    def differences(self, entity: str) -> list[Any]:
        """Where records part and stay so, and where nobody can say: why something is not complete."""
        return [
            (one["record_id"], one["why"], [part for part in one["differences"] if "explained" not in part])
            for verdict in ("mismatch", "unverifiable")
            for one in self.every("/admin/v1/diffs", entity=entity, verdict=verdict)
            if one["resolved_at"] is None
        ]

    def readiness(self, entity: str) -> tuple[str, dict[str, dict[str, Any]]]:
        """The verdict of the slice, and those of its gates that do not pass."""
        told = self.get(f"/admin/v1/readiness/{entity}/{REGION}")
        return told["verdict"], {gate["name"]: gate for gate in told["gates"] if gate["verdict"] != "pass"}

    # --- the end -------------------------------------------------------------------------------------------------

    def quiet(self) -> None:
        """Until nothing is under way anywhere."""

        def nothing() -> bool:
            return not any(
                self.get("/admin/v1/deliveries", state=state, limit="1")["items"] for state in history.OPEN
            )

        until("the end of every delivery", nothing)

    def lines(self, records: list[str]) -> dict[str, list[history.Line]]:
        """Every delivery of these records, by entity, with what its operation says of itself."""
        found: dict[str, list[history.Line]] = {entity: [] for entity in BY_NAME}
        for record in records:
            for operation in self.get(f"/admin/v1/records/{record}/journey")["operations"]:
                told = self.get(f"/v1/operations/{operation['id']}")
                assert told["state"] == "settled", told
                found[told["entity"]] += [
                    history.Line(
                        SimpleNamespace(
                            operation_id=told["id"], record_id=record, system=line["system"], role=line["role"],
                            seq=line["seq"], state=line["state"], epoch=told["epoch"], marker=told["marker"],
                            authority=told["authority"],
                        )
                    )
                    for line in told["deliveries"]
                    # What a backfill brings, its authority has had before.
                    if line["role"] == "mirror" or not told["client"].startswith("bfl_")
                ]  # fmt: skip
        return found


def sha256_of(evidence: Any) -> str:
    """The hash as anybody can compute it: of the JSON with its names in order and no spaces."""
    text = json.dumps(evidence, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()
