"""Each command as a process of its own, against a SQLite journal and the two simulated ERPs."""

from __future__ import annotations

import json
import signal
import socket
import tomllib
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.journeys.program import Program
from tests.systems.sandbox import Sandbox

pytestmark = [pytest.mark.slow, pytest.mark.server]


@pytest.fixture
def program(tmp_path: Path, sandbox: Sandbox) -> Program:
    return Program(tmp_path, legacy=sandbox.urls["legacy"], cloud=sandbox.urls["cloud"])


@pytest.fixture
def nowhere(tmp_path: Path) -> Iterator[Program]:
    """A program whose ERPs are not there: two ports that are held, and that nobody listens on."""
    with socket.socket() as one, socket.socket() as two:
        one.bind(("127.0.0.1", 0))
        two.bind(("127.0.0.1", 0))
        yield Program(
            tmp_path,
            legacy=f"http://127.0.0.1:{one.getsockname()[1]}",
            cloud=f"http://127.0.0.1:{two.getsockname()[1]}",
        )


def test_from_a_key_to_a_journey(program: Program) -> None:
    """A key made on the command line opens the API of a running gateway, a slice set there moves under it, and the
    record's way is told; a clean end on SIGTERM is exit code 0."""
    made = program.run("keys", "create", "tests", "--scopes", "read,write", "--json")
    assert made.code == 0
    key = made.json["key"]
    with program.serving() as serving:
        headers = {"Authorization": f"Bearer {key}"}
        with httpx.Client(base_url=serving.address, headers=headers, timeout=30, trust_env=False) as client:
            assert client.get("/health/ready").status_code == 200
            assert client.get("/console").status_code < 400

            moved = program.run(
                "rules", "set", "customer", "DACH", "dual_write", "--reason", "a test", "--json"
            )
            assert (moved.code, moved.json["stage"], moved.json["version"]) == (0, "dual_write", 2)
            created = client.post(
                "/v1/customers", json={"region": "DACH", "name": "Ahornfeld Werke", "number": "CLI-1"}
            )
            assert created.status_code == 201, created.text
            assert created.headers["Twinrun-Stage"] == "dual_write"
            record = created.json()["id"]

        told = program.run("journey", record, "--json")
        assert told.code == 0
        (operation,) = told.json["operations"]
        assert {one["system"] for one in operation["deliveries"]} == {"legacy", "cloud"}
        shown = program.run("journey", record)
        assert shown.code == 0
        assert operation["id"] in shown.out

        stale = program.run(
            "rules", "set", "customer", "DACH", "shadow", "--reason", "late", "--expected-version", "1"
        )
        assert (stale.code, stale.out) == (1, "")
        leap = program.run("rules", "set", "customer", "DACH", "cloud_only", "--reason", "a leap")
        assert leap.code == 1
        assert "step by step" in leap.err

        assert program.run("serve", "--port", serving.address.rpartition(":")[2]).code == 3
        second = program.run("serve", "--port", "0")
        assert second.code == 2
        assert "another process serves" in second.err
        assert serving.end(signal.SIGTERM) == 0


def test_an_interrupted_server_ends_with_130(program: Program) -> None:
    """Ctrl-C is a clean end, too, and tells that it was one."""
    with program.serving("--no-worker") as serving:
        assert httpx.get(f"{serving.address}/health/live", trust_env=False).status_code == 200
        assert serving.end(signal.SIGINT) == 130
    assert "Traceback" not in (program.folder / "serve.log").read_text()
    assert "twinrun keys create" in (program.folder / "serve.log").read_text()


def test_rules_go_round(program: Program) -> None:
    """What is exported is what is there: no plan is left; a changed file is a plan, applied it is none again."""
    assert program.run("rules", "plan").code == 0
    folder = program.folder / "rules"
    assert program.run("rules", "export", str(folder)).code == 0
    again = program.run("rules", "export", str(folder))
    assert again.code == 2
    assert "--force" in again.err

    file = folder / "customer.toml"
    text = file.read_text()
    assert tomllib.loads(text)["entity"] == "customer"
    file.write_text(text.replace('"legacy_only"', '"dual_write"').replace("has not begun", "has begun"))
    planned = program.run("rules", "plan", "--json", TWINRUN_RULES=str(folder))
    assert planned.code == 1
    assert {tuple(one["fields"]) for one in planned.json["items"]} == {("stage", "note")}

    applied = program.run("rules", "apply", "--reason", "as reviewed", "--json", TWINRUN_RULES=str(folder))
    assert (applied.code, len(applied.json["applied"]), applied.json["left"]) == (0, 4, [])
    assert program.run("rules", "plan", TWINRUN_RULES=str(folder)).code == 0
    shown = program.run("rules", "show", "--entity", "customer", "--json")
    assert {one["stage"] for one in shown.json["items"]} == {"dual_write"}
    # A line a slice, then who owns the fields of each entity; both with their head, and no line is broken.
    told = program.run("rules", "show").out.splitlines()
    assert len(told) == 33 + 9
    assert sum("authority  case" in line for line in told) == 8


def test_a_rule_file_with_a_leap_is_not_applied(program: Program) -> None:
    """The files may say what they like; a stage that nobody has seen evidence of is refused, and told."""
    folder = program.folder / "rules"
    program.run("rules", "export", str(folder))
    file = folder / "payment.toml"
    file.write_text(file.read_text().replace('"legacy_only"', '"shadow"'))
    applied = program.run("rules", "apply", "--reason", "too fast", "--json", TWINRUN_RULES=str(folder))
    assert applied.code == 1
    assert applied.json["applied"] == []
    assert "step by step" in applied.json["refused"]


def test_keys_are_listed_without_their_secret_and_revoked(program: Program) -> None:
    """The secret is shown once, and a revoked key is told as such."""
    made = program.run("keys", "create", "portal", "--regions", "DACH", "--json").json
    listed = program.run("keys", "list", "--json")
    assert made["key"] not in listed.out
    (row,) = listed.json["items"]
    assert (row["name"], row["regions"], row["revoked_at"]) == ("portal", ["DACH"], None)
    assert program.run("keys", "revoke", row["id"]).code == 0
    (row,) = program.run("keys", "list", "--json").json["items"]
    assert row["revoked_at"] is not None
    assert program.run("keys", "revoke", "key_none").code == 2
    assert program.run("keys", "create", "x", "--regions", "MOON").code == 2


def test_nothing_compared_is_inconclusive(program: Program) -> None:
    """No comparison is no agreement: exit code 3."""
    found = program.run("diffs", "--json")
    assert (found.code, found.json) == (3, {"summary": [], "items": []})
    assert program.run("diffs", "--region", "MOON").code == 2


def test_the_doctor_finds_what_stands_in_the_way(nowhere: Program, sandbox: Sandbox) -> None:
    """All well is 0; an ERP that does not answer is 3 and named with its remedy; a wrong setting is 2."""
    silent = nowhere.run("doctor", "--json")
    assert silent.code == 3
    failed = [one["name"] for one in silent.json["checks"] if one["result"] == "fail"]
    assert failed == ["system legacy answers", "system cloud answers"]
    assert all(one["remedy"] for one in silent.json["checks"] if one["result"] == "fail")
    assert not (nowhere.folder / "twinrun.db").exists()

    well = nowhere.run(
        "doctor",
        TWINRUN_SYSTEMS__LEGACY__BASE_URL=sandbox.urls["legacy"],
        TWINRUN_SYSTEMS__CLOUD__BASE_URL=sandbox.urls["cloud"],
    )
    assert well.code == 0, well.out
    assert nowhere.run("doctor", TWINRUN_PORT="eighty").code == 2


def test_the_database_is_brought_up_by_a_command(program: Program) -> None:
    """Twice does no harm; a database that cannot be reached is 3, in one line."""
    assert program.run("db", "upgrade", "--json").json["upgraded"] is True
    assert program.run("db", "upgrade").code == 0
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        lost = program.run(
            "db", "upgrade", TWINRUN_DATABASE=f"postgresql://x@127.0.0.1:{held.getsockname()[1]}/x"
        )
    assert lost.code == 3
    assert lost.err.count("\n") == 1


def test_profiles_are_listed_and_checked(program: Program) -> None:
    """Every profile has a grade; what is to do is exit code 1."""
    listed = program.run("adapters", "list", "--json")
    assert {"sandbox_legacy", "sandbox_cloud"} <= {one["name"] for one in listed.json["items"]}
    assert program.run("adapters", "check", "sandbox_cloud").code == 0
    checked = program.run("adapters", "check", "sandbox_legacy", "--json")
    assert checked.code == 1
    assert [one["rule"] for one in checked.json["rules"] if one["standing"] == "todo"] == ["conditional"]


@pytest.fixture
def firm(tmp_path: Path) -> Iterator[Program]:
    """A program whose ERPs hold the records of a small firm."""
    run = Sandbox(tmp_path, scale="small")
    try:
        yield Program(tmp_path, legacy=run.urls["legacy"], cloud=run.urls["cloud"])
    finally:
        run.stop()


def test_what_survives_another_product_is_proved(firm: Program) -> None:
    """All that the legacy ERP holds survives the way through the cloud, by its profile and on its own records; the way
    round something is lost, and named with its record. A plan that begins a mirror shows the same."""
    there = firm.run("adapters", "prove", "--sample", "120", "--json")
    assert there.code == 0, there.out
    assert {one["entity"]: one["outcome"] for one in there.json["entities"]}["invoice"] == "exact"
    read = {one["entity"]: one["read"] for one in there.json["samples"]}
    assert read["time_entry"] == 120
    assert not any(one["lost"] for one in there.json["samples"])

    back = firm.run("adapters", "prove", "cloud", "legacy", "--entity", "customer", "--sample", "50")
    assert back.code == 1
    assert "text longer than 35 characters is cut" in back.out
    lost = firm.run(
        "adapters", "prove", "cloud", "legacy", "--entity", "customer", "--sample", "50", "--json"
    )
    assert {one["path"] for one in lost.json["samples"][0]["lost"]} >= {"language"}
    real = firm.run("adapters", "prove", "sandbox_cloud", "tryton_6_0", "--entity", "payment", "--json")
    assert (real.code, real.json["entities"][0]["outcome"]) == (1, "lost")
    assert firm.run("adapters", "prove", "sandbox_cloud", "nowhere").code == 2
    assert firm.run("adapters", "prove", "tryton_6_0", "cloud", "--sample", "1").code == 2

    folder = firm.folder / "mirror"
    firm.run("rules", "export", str(folder))
    file = folder / "customer.toml"
    file.write_text(file.read_text().replace('"legacy_only"', '"dual_write"'))
    planned = firm.run("rules", "plan", TWINRUN_RULES=str(folder))
    assert planned.code == 1
    assert "What the mirror that begins would lose" in planned.out
    assert "text longer than 120 characters is cut" in planned.out
    told = firm.run("rules", "plan", "--json", TWINRUN_RULES=str(folder)).json["items"]
    assert all(any(one["path"] == "name" for one in item["mapping"]) for item in told)


def test_systems_that_do_not_answer_leave_a_sample_open(nowhere: Program) -> None:
    """What could not be read is not proved."""
    assert nowhere.run("adapters", "prove", "--entity", "payment").code == 0
    assert nowhere.run("adapters", "prove", "--entity", "payment", "--sample", "5").code == 3


def test_what_a_person_did_wrong_is_never_a_traceback(program: Program) -> None:
    """One line, exit code 2, and an unknown record is told as such."""
    unknown = program.run("journey", "cus_none", NO_COLOR="1")
    assert (unknown.code, unknown.out) == (2, "")
    (program.folder / "twinrun.toml").write_text("port = ")
    broken = program.run("rules", "show")
    assert broken.code == 2
    assert "twinrun.toml is not TOML" in broken.err
    assert broken.err.count("\n") == 1
    assert json.loads(program.run("doctor", "--json").out)["result"] == "fail"
