"""The rehearsal of a whole migration: one region of all eight entities from ``legacy_only`` to ``cloud_only``."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.canonical import BY_NAME
from gateway.readiness.gates import LEAST_CALLS
from gateway.readiness.sheet import XLSX
from tests.journeys.aftermath import nothing_lost_or_doubled
from tests.journeys.migration import BEFORE, ELSEWHERE, REGION, Migration, keys_of, sha256_of, until
from tests.journeys.program import Program
from tests.journeys.upstream import Upstream
from tests.systems.sandbox import Sandbox

pytestmark = [pytest.mark.slow, pytest.mark.server, pytest.mark.timeout(600)]

def test_from_the_legacy_erp_alone_to_the_cloud_alone(tmp_path: Path, firm: Sandbox) -> None:
    """Through command line and API alone, under live traffic: eight mirrors are filled, compared and reconciled; each
    slice goes live, is ramped down and let go, where a second person signs the evidence of every switch; one slice in
    which money parts is forced back and comes forward again; in the end neither ERP has lost or doubled a write by its
    own account, and the report is signed by whoever did not ask for the moves."""
    program = Program(tmp_path, legacy=firm.urls["legacy"], cloud=firm.urls["cloud"], more="two_person = true")
    keys = keys_of(program)
    with program.serving() as serving:
        upstream = Upstream(serving.address, keys.pop("upstream"))
        with Migration(program, serving.address, keys) as migration:
            upstream.begin()
            upstream.start()
            try:
                _mirrored(migration, upstream)
                _in_shadow(migration, upstream)
                _live(migration)
                _forced_back(migration, upstream, firm)
                _let_go(migration)
            finally:
                upstream.stop()
            migration.quiet()
            assert upstream.faults == []
            nothing_lost_or_doubled(migration, upstream, firm)
            _signed(migration)


def _mirrored(migration: Migration, upstream: Upstream) -> None:
    """``dual_write``: both ERPs hold the same, and know which record is which."""
    for entity in BY_NAME:
        until(f"{entity} in legacy_only", lambda entity=entity: len(upstream.made[entity]) >= BEFORE)
    for region in ELSEWHERE:
        migration.stage("resource", "dual_write", "people work across regions", region)
    reason = "the cloud ERP is kept current from here on"
    begun = migration.cli("rules", "set", "customer", REGION, "dual_write", "--reason", reason)
    assert (begun.code, begun.json["stage"]) == (0, "dual_write")
    filled = migration.cli(
        "backfill", "start", "--entity", "customer", "--region", REGION, "--reason", "the mirror begins empty"
    )
    assert (filled.code, filled.json["complete"]) == (0, True), (filled.json, migration.differences("customer"))
    assert filled.json["records"]["linked"] > 0, "the cloud ERP held none of the firm's customers"
    assert filled.json["records"]["created"] >= BEFORE, filled.out
    for entity in list(BY_NAME)[1:]:
        migration.stage(entity, "dual_write", reason)
        regions = (*ELSEWHERE, REGION) if entity == "resource" else (REGION,)
        for run in [migration.backfill(entity, region) for region in regions]:
            migration.backfilled(run)


def _in_shadow(migration: Migration, upstream: Upstream) -> None:
    """``shadow``: every read is compared, until the evidence is enough."""
    for entity in BY_NAME:
        migration.stage(entity, "shadow", "both hold the same; now every read is compared")
        until(
            f"{LEAST_CALLS} calls of each system for {entity}",
            lambda entity=entity: len(upstream.made[entity]) >= LEAST_CALLS,
        )
    for entity in BY_NAME:
        until(
            f"the evidence of {entity}",
            lambda entity=entity: _evident(migration, upstream, entity),
            else_=lambda entity=entity: migration.readiness(entity),
        )
    whole = migration.cli("reconcile", "--region", REGION, "--reason", "before the first switch")
    assert whole.code == 0, whole.out


def _evident(migration: Migration, upstream: Upstream, entity: str) -> bool:
    """Whether there are comparisons enough; reads what there is to read where not."""
    _, open_ = migration.readiness(entity)
    if "compares" in open_:
        upstream.look(entity, REGION)
    return not open_.keys() & {"compares", "coverage", "next_authority"}


def _live(migration: Migration) -> None:
    """``live``: the cloud ERP answers, one entity after the other, by two persons each."""
    alone = migration.cli("rules", "set", "customer", REGION, "live", "--reason", "alone")
    assert (alone.code, "second person" in alone.err) == (1, True)
    early = migration.cli("switch", "request", "payment", REGION, "live", "--reason", "too early", by="operator")
    assert (early.code, "move customer to live first" in early.err) == (1, True)
    reason = "the evidence is complete but for the way back, which the last slice rehearses for all"
    for entity in BY_NAME:
        until(
            f"the evidence of {entity} but for the way back",
            lambda entity=entity: migration.readiness(entity)[1].keys() == {"rollback_rehearsed"},
            else_=lambda entity=entity: (migration.readiness(entity), migration.differences(entity)),
        )
        if entity == "customer":
            migration.switch_at_terminals(entity, "live", reason)
        else:
            migration.switch(entity, "live", reason)


def _forced_back(migration: Migration, upstream: Upstream, firm: Sandbox) -> None:
    """Money parts in the slice that has just gone live. It goes back, is put right, and comes forward again."""
    record = upstream.made["payment"][0]
    path = f"/v1/payments/{record}"
    told = migration.call("GET", path)
    assert told.headers["Twinrun-Answered-By"] == "cloud"
    native, amount = told.json()["external_refs"]["cloud"], told.json()["amount"]["amount"]
    firm.edit("cloud", "payment", native, {"Amount": "1.00"})

    def parted() -> bool:
        migration.call("GET", path)
        return "money" in migration.readiness("payment")[1]

    until("the amount to part", parted)
    verdict = migration.cli("readiness", "--entity", "payment", "--region", REGION)
    assert (verdict.code, verdict.json["verdict"]) == (1, "fail")
    assert verdict.json["items"][0]["way_back"]["verdict"] == "pass"
    back = migration.switch_at_terminals("payment", "shadow", "an amount parts: the legacy ERP answers again")
    assert (back["kind"], back["to_authority"]) == ("rollback", "legacy")
    assert back["evidence"]["differences"]["records"] == {"mismatch": 1}
    answer = migration.call("GET", path)
    assert (answer.headers["Twinrun-Answered-By"], answer.json()["amount"]["amount"]) == ("legacy", amount)
    firm.edit("cloud", "payment", native, {"Amount": amount})

    def agreed() -> bool:
        migration.call("GET", path)
        return "money" not in migration.readiness("payment")[1]

    until("the amount to agree again", agreed)
    whole = migration.cli("reconcile", "--region", REGION, "--entity", "payment", "--reason", "after the way back")
    assert whole.code == 0, whole.out
    until(
        "the slice to be ready",
        lambda: migration.readiness("payment")[0] == "pass",
        else_=lambda: migration.readiness("payment"),
    )
    assert migration.cli("readiness", "--entity", "payment", "--region", REGION).code == 0
    migration.switch("payment", "live", "the amount is right again, and the way back rehearsed")


def _let_go(migration: Migration) -> None:
    """``ramp_down``, then ``cloud_only``: the legacy ERP is kept current, and then let go."""
    for entity in BY_NAME:
        migration.stage(entity, "ramp_down", "the legacy ERP is only kept current")
    # Backwards: as long as the legacy ERP gets projects it needs their customers, those of today as well.
    for entity in reversed(BY_NAME):
        migration.switch(entity, "cloud_only", "nobody reads the legacy ERP any more")
    assert {migration.rule(entity)["stage"] for entity in BY_NAME} == {"cloud_only"}


def _signed(migration: Migration) -> None:
    """The readiness of the region at the end of the way, in all its forms, and signed."""
    told = migration.get("/admin/v1/readiness", region=REGION)
    reports = {one["entity"]: one for one in told["items"]}
    assert reports.keys() == BY_NAME.keys()
    assert {(one["stage"], one["next"], one["authority"]) for one in reports.values()} == {
        ("cloud_only", None, "cloud")
    }
    for entity, report in reports.items():
        gates = [[gate["name"], gate["verdict"], gate["threshold"], gate["evidence"]] for gate in report["gates"]]
        slice_ = [entity, REGION, report["stage"], report["version"], report["epoch"]]
        assert report["evidence_hash"] == sha256_of({"slice": slice_, "gates": gates}), entity
        assert report["signatures"] == []
        if entity != "customer":
            path = f"/admin/v1/readiness/{entity}/{REGION}/sign"
            signed = migration.call("POST", path, {"evidence_hash": report["evidence_hash"]}, by="approver")
            assert signed.status_code == 200, signed.text
    words = ("readiness", "sign", "customer", REGION, "--evidence", reports["customer"]["evidence_hash"])
    assert migration.cli(*words, by="operator").code == 2  # it has asked for the last move itself, and may not approve
    at_terminal = migration.cli(*words, by="approver")
    assert at_terminal.code == 0, at_terminal.err
    signed = migration.get("/admin/v1/readiness", region=REGION)["items"]
    assert [[by["signed_by"] for by in one["signatures"]] for one in signed] == [["approver"]] * len(BY_NAME)
    _in_every_form(migration, {one["entity"]: one for one in signed})


def _in_every_form(migration: Migration, reports: dict[str, dict[str, Any]]) -> None:
    """Each form carries the hash of each slice, and who answers for it."""

    def form(media: str) -> httpx.Response:
        answer = migration.call("GET", f"/admin/v1/readiness?region={REGION}", Accept=media)
        assert (answer.status_code, answer.headers["content-type"].partition(";")[0]) == (200, media)
        return answer

    wanted = {
        (entity, one["evidence_hash"], f"signed by approver at {one['signatures'][0]['signed_at']}")
        for entity, one in reports.items()
    }
    rows = csv.DictReader(form("text/csv").text.splitlines())
    assert {(row["entity"], row["evidence_hash"], row["signed"]) for row in rows} == wanted
    page = form("text/html").text
    assert all(evidence in page and words in page for _, evidence, words in wanted)
    assert form("application/pdf").content.startswith(b"%PDF-")
    assert form(XLSX).content.startswith(b"PK")
    at_terminal = migration.program.run("readiness", "--region", REGION, "--as", "csv")
    again = csv.DictReader(at_terminal.out.splitlines())
    assert {(row["entity"], row["evidence_hash"], row["signed"]) for row in again} == wanted
