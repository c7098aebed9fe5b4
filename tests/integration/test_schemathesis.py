"""The running program against its own OpenAPI document: data that fits it, and data that does not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.canonical import ENTITIES
from gateway.http.examples import CUSTOMER_ID, EXAMPLES, INVOICE_ID, PROJECT_ID, RESOURCE_ID
from tests.integration.service import ROOT, Service, running

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

CONTRACT = Path(__file__).parent / "contract"
#: Where each stage is met at least once; the other slices stay in legacy_only.
STAGES = {
    "customer": ("dual_write", "shadow"),
    "resource": ("dual_write", "shadow", "live"),
    "project": ("dual_write",),
    "invoice": ("dual_write",),
}
#: Seeds of one run: a failure can be had again.
SEED = "20260131"


def seed(service: Service) -> dict[str, Any]:
    """One record of each entity, made through the API, so that what refers to one finds it."""
    made: dict[str, str] = {}
    native: dict[str, tuple[str, str]] = {}
    operation = ""
    names = {CUSTOMER_ID: "customer", RESOURCE_ID: "resource", PROJECT_ID: "project", INVOICE_ID: "invoice"}
    with service.client() as client:
        for entity in ENTITIES:
            text = json.dumps({"region": "UK", **EXAMPLES[entity.name]})
            for example, name in names.items():
                text = text.replace(example, made.get(name, example))
            headers = {"Content-Type": "application/json", "Idempotency-Key": f"seed-{entity.name}"}
            answer = client.post(f"/v1/{entity.collection}", content=text, headers=headers)
            assert answer.status_code == 201, answer.text
            made[entity.name] = answer.json()["id"]
            native[entity.collection] = ("legacy", answer.json()["external_refs"]["legacy"])
            operation = answer.headers["Twinrun-Operation"]
        for entity, stages in STAGES.items():
            for stage in stages:
                rules = client.get("/admin/v1/rules").json()["items"]
                version = next(r["version"] for r in rules if (r["entity"], r["region"]) == (entity, "UK"))
                change = {
                    "stage": stage,
                    "reason": "a stage to try",
                    "expected_version": version,
                    "override": True,
                }
                answer = client.put(f"/admin/v1/rules/{entity}/UK", json=change)
                assert answer.status_code == 200, answer.text
    return {"records": made, "native": native, "operation": operation}


def test_program_and_document_agree(tmp_path: Path) -> None:
    """No server error, no undocumented answer, no answer against its schema; bad data refused, good data
    not."""
    with running(tmp_path, scale="0.02") as service:
        seeded = tmp_path / "seeded.json"
        seeded.write_text(json.dumps(seed(service)), encoding="utf-8")
        done = subprocess.run(
            [
                str(Path(sys.executable).with_name("schemathesis")),
                "--config-file",
                str(CONTRACT / "schemathesis.toml"),
                "run",
                f"{service.address}/openapi.json",
                "--header",
                f"Authorization: Bearer {service.key}",
                "--phases",
                "examples,coverage,fuzzing,stateful",
                "--checks",
                "all",
                # By design a write may take as long as its caller says that it waits.
                "--max-response-time",
                "27",
                "--max-examples",
                "4",
                "--seed",
                SEED,
                "--workers",
                "1",
                "--continue-on-failure",
                "--no-color",
            ],
            cwd=tmp_path,
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "SCHEMATHESIS_HOOKS": "tests.integration.contract.hooks",
                "SEEDED": str(seeded),
            },
            capture_output=True,
            text=True,
            check=False,
        )
        (tmp_path / "schemathesis.txt").write_text(done.stdout, encoding="utf-8")
        assert done.returncode == 0, done.stdout[-20_000:]
        tested = httpx.get(f"{service.address}/metrics").text
        assert 'status="201"' in tested, "no create was ever accepted: the data never got past the door"
        assert '"level":"error"' not in service.log.read_text(encoding="utf-8")
