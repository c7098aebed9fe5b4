"""One slice from stage to stage and back, with the real ERP as legacy; and what somebody changes behind our back."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.real_erp.stand import ENTITIES, Stand, customer, invoice, project

pytestmark = pytest.mark.server


@pytest.fixture
def led_by_the_erp(stand: Stand) -> None:
    """Every slice compares its reads, and the real ERP leads."""
    stand.staged("dual_write", *ENTITIES)
    stand.staged("shadow", *ENTITIES)


def found(stand: Stand, record: dict[str, Any]) -> dict[str, Any]:
    """The mismatch that comparing a read of this record finds."""

    def look() -> dict[str, Any] | None:
        stand.read(record)
        diffs = [one for one in stand.diffs(record, verdict="mismatch") if one["resolved_at"] is None]
        return diffs[0] if diffs else None

    return stand.until(look, "the difference is found")


def parted(diff: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Path → (authority's value, other's value) of what nothing explains."""
    return {
        one["path"]: (one.get("authority"), one.get("other"))
        for one in diff["differences"]
        if one.get("explained") is None
    }


def in_erp(stand: Stand, record: dict[str, Any]) -> dict[str, Any]:
    domain = [["id", "=", int(record["external_refs"]["legacy"])], ["active", "in", [True, False]]]
    (row,) = stand.look.rows("party.party", domain, ["name", "active"])
    return row


FORTH = ("dual_write", "shadow", "live", "ramp_down", "cloud_only")
BACK = ("ramp_down", "live", "shadow", "dual_write", "legacy_only")
LEADS = {
    stage: "cloud" if stage in ("live", "ramp_down", "cloud_only") else "legacy" for stage in (*FORTH, *BACK)
}
MIRRORED = {"dual_write", "shadow", "live", "ramp_down"}


def step(stand: Stand, stage: str, known: dict[str, Any], name: str) -> dict[str, Any]:
    """At this stage a customer is made and another changed; returns the new one. The right system answers, and both
    writes reach whoever the stage says."""
    rule = stand.rule("customer")
    assert (rule["stage"], rule["authority"]) == (stage, LEADS[stage])
    create = stand.create("customer", customer(name=name))
    assert create.status_code == 201, create.text
    assert (create.headers["Twinrun-Stage"], create.headers["Twinrun-Answered-By"]) == (stage, LEADS[stage])
    change = stand.change(stand.read(known), {"name": f"Renamed with {name}"})
    assert change.status_code == 200, change.text
    systems = {"legacy", "cloud"} if stage in MIRRORED else {LEADS[stage]}
    for one in (create, change):
        assert {line["system"]: line["state"] for line in stand.settled(one)["deliveries"]} == dict.fromkeys(
            systems, "applied"
        )
    new = stand.read(create.json())
    assert new["external_refs"].keys() == systems
    shown = stand.read(known)
    assert shown["name"] == f"Renamed with {name}"
    assert (in_erp(stand, shown)["name"] == shown["name"]) is ("legacy" in systems)
    return new


def test_the_whole_way_and_back(stand: Stand) -> None:
    """Customers in DACH go from the real ERP to the cloud and back. A record that the ERP has never got stands in the
    way of the way back, until a write has carried it over. At the end the ERP has every customer once."""
    known = stand.made("customer", customer(name="Walk 0"))
    made: dict[str, dict[str, Any]] = {"Walk 0": known}
    only_there = f"Walk {len(FORTH)}"  # made in cloud_only
    stand.staged("dual_write", "customer")
    stand.settled(stand.change(known, {"phone": "+49 431 0"}))  # now the cloud has it, too
    for turn, stage in enumerate((*FORTH, *BACK), start=1):
        answer = stand.stage("customer", stage)
        if stage == "shadow" and turn > len(FORTH):
            assert answer.status_code == 422
            assert answer.json()["gates"] == ["crosswalk"]
            stand.settled(stand.change(stand.read(made[only_there]), {"phone": "+49 431 1"}))
            answer = stand.stage("customer", stage)
        assert answer.status_code == 200, answer.text
        made[f"Walk {turn}"] = step(stand, stage, known, f"Walk {turn}")
    rows = stand.look.rows("party.party", [["name", "like", "Walk %"]], ["name"])
    assert sorted(row["name"] for row in rows) == sorted(set(made) - {"Walk 0"})
    changes = stand.api.get("/admin/v1/rules/customer/DACH/history").json()["items"]
    stages = [one["after"]["stage"] for one in reversed(changes)]
    assert stages[-len(BACK) - len(FORTH) :] == [*FORTH, *BACK]
    stand.all_compared("customer")
    assert [stand.diffs(one, verdict="mismatch") for one in made.values()] == [[]] * len(made)


def test_a_state_survives_both_ways(stand: Stand) -> None:
    """Blocked is a state of the cloud, and just an active party in the ERP: it is neither lost on the way there and
    back nor called a difference, and lifting it works from either side."""
    stand.staged("dual_write", "customer", region="US")
    stand.staged("shadow", "customer", region="US")
    record = stand.moved(stand.made("customer", customer(region="US")), "active", "blocked")
    stand.until(lambda: stand.read(record)["external_refs"].get("cloud"), "it is in the cloud")
    stand.staged("live", "customer", region="US")
    assert stand.read(record)["state"] == "blocked"
    answer = stand.move(record, "active")
    assert answer.status_code == 200
    stand.settled(answer)
    stand.settled(stand.move(record, "blocked"))
    stand.staged("shadow", "customer", region="US")
    assert stand.read(record)["state"] == "blocked"
    stand.settled(stand.move(record, "active"))
    assert stand.read(record)["state"] == "active"
    assert [one["main"]["Status"] for one in stand.in_cloud(external_id=record["id"])][-1] == "Active"
    stand.all_compared("customer", "US")
    assert stand.diffs(record, verdict="mismatch") == []


def test_a_direct_edit_in_the_erp_is_found(stand: Stand, led_by_the_erp: None) -> None:
    """Somebody changes a customer in the ERP itself: a read answers what the ERP says now, and comparing it finds that
    field and no other. Repaired by a write, the difference is closed."""
    answer = stand.create("customer", customer())
    record = answer.json()
    stand.settled(answer)
    native = int(record["external_refs"]["legacy"])
    (address,) = stand.look.rows("party.address", [["party", "=", native]], ["city"])
    stand.look.call("model.party.address.write", [address["id"]], {"city": "Lübeck"})
    assert stand.read(record)["billing_address"]["city"] == "Lübeck"
    diff = found(stand, record)
    assert [one["path"] for one in diff["differences"] if "explained" not in one] == ["billing_address.city"]
    stand.settled(stand.change(record, {"phone": "+49 431 2"}))

    def closed() -> bool:
        return all(one["resolved_at"] for one in stand.diffs(record, verdict="mismatch"))

    stand.until(closed, "the difference is closed")


def test_a_direct_edit_of_a_line_is_found(stand: Stand, led_by_the_erp: None) -> None:
    """The ERP does not number the lines of an invoice: what somebody changes in one of them is found all the same, in
    the right line, with what it is worth."""
    owner = stand.made("customer", customer())
    answer = stand.create("invoice", invoice(owner["id"]))
    record = answer.json()
    stand.settled(answer)
    lines = stand.look.rows("account.invoice.line", [["invoice", "=", stand.native(record)]], ["description"])
    stand.look.call("model.account.invoice.line.write", [lines[1]["id"]], {"description": "Travel and hotel"})
    assert parted(found(stand, record)) == {"lines[#1].description": ("Travel and hotel", "Travel")}
    stand.look.call("model.account.invoice.line.write", [lines[0]["id"]], {"quantity": 3.5})

    def both() -> dict[str, Any] | None:
        open_ = parted(found(stand, record))
        return open_ if "lines[#0].quantity" in open_ else None

    open_ = stand.until(both, "the other line, too")
    assert open_["lines[#0].quantity"] == ("3.5", "2.5")
    assert open_["lines[#0].amount"] == (
        {"amount": "525.35", "currency": "EUR"},
        {"amount": "375.25", "currency": "EUR"},
    )


def test_a_direct_edit_in_the_cloud_is_found(stand: Stand, led_by_the_erp: None) -> None:
    """The other way round: what somebody changes in the mirror is a difference, and the caller still gets what the
    ERP says."""
    owner = stand.made("customer", customer())
    answer = stand.create("project", project(owner["id"]))
    stand.settled(answer)
    record = stand.read(answer.json())
    stand.edit_cloud("project", record["external_refs"]["cloud"], {"Name": "Rollout Nord"})
    assert parted(found(stand, record)) == {"name": ("Rollout Süd", "Rollout Nord")}
    assert stand.read(record)["name"] == "Rollout Süd"
