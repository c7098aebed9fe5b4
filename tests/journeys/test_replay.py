"""``twinrun replay`` as a process of its own, beside a serving gateway whose mirror has refused."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.journeys.program import Program
from tests.systems.sandbox import Sandbox

pytestmark = [pytest.mark.slow, pytest.mark.server]

LETTERS = 6


def test_counted_and_sent_again(tmp_path: Path, sandbox: Sandbox) -> None:
    """A dry run counts by cause and changes nothing; with a reason all are sent again, and arrive; wrong filters and
    a missing reason are told."""
    program = Program(tmp_path, legacy=sandbox.urls["legacy"], cloud=sandbox.urls["cloud"])
    key = program.run("keys", "create", "tests", "--scopes", "read,write,admin:read", "--json").json["key"]
    with program.serving() as serving:
        moved = program.run("rules", "set", "customer", "UK", "dual_write", "--reason", "a test")
        assert moved.code == 0
        headers = {"Authorization": f"Bearer {key}"}
        with httpx.Client(base_url=serving.address, headers=headers, timeout=30, trust_env=False) as client:
            sandbox.fault("cloud", "error", status=400, on=["writes"])
            for number in range(LETTERS):
                body = {"region": "UK", "name": f"Harbour {number}", "number": f"RPL-{number}"}
                assert client.post("/v1/customers", json=body).status_code == 201

            def waiting(state: str) -> list[Any]:
                query = {"state": state, "system": "cloud", "entity": "customer"}
                return client.get("/admin/v1/deliveries", params=query).json()["items"]

            until = time.monotonic() + 30
            while len(waiting("parked")) < LETTERS:
                assert time.monotonic() < until, waiting("parked")
            sandbox.heal()

            counted = program.run("replay", "--dry-run", "--json")
            assert counted.code == 0, counted.err
            assert counted.json["count"] == LETTERS
            (cause,) = counted.json["causes"]
            shown = program.run("replay", "--dry-run")
            assert cause["cause"] in shown.out
            assert f"{LETTERS} would be sent again" in shown.out
            assert len(waiting("parked")) == LETTERS

            assert program.run("replay").code == 2
            assert program.run("replay", "--entity", "cat", "--dry-run").code == 2
            assert program.run("replay", "--since", "yesterday", "--dry-run").code == 2
            none = program.run("replay", "--region", "US", "--reason", "none there", "--json")
            assert (none.code, none.json["total"], none.json["state"]) == (0, 0, "done")

            done = program.run(
                "replay", "--cause", cause["cause"], "--until", counted.json["until"], "--reason", "mended"
            )
            assert done.code == 0, done.err
            assert f"{LETTERS} sent again" in done.out
            until = time.monotonic() + 30
            while len(waiting("applied")) < LETTERS:
                assert time.monotonic() < until, waiting("applied")
    numbers = [one["main"] for one in sandbox.effects("cloud", entity="customer")]
    assert sum("RPL-" in str(one) for one in numbers) == LETTERS
