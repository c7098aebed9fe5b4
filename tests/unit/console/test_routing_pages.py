"""The routing matrix and the panel of a slice."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import httpx
import msgspec
import pytest
from litestar.testing import TestClient

from gateway.proof import Notice
from gateway.routing.plan import PLANS
from gateway.routing.stage import Stage
from tests.console.fakes import ENTITIES, FULL, REGIONS, UK_ONLY, FakeGateway

Client = TestClient[Any]
SignIn = Callable[..., httpx.Response]
Csrf = Callable[[], str]

SLICE = "/console/slices/time_entry/EMEA"
BY_SCRIPT = {"hx-request": "true"}


def cell(text: str, entity: str, region: str) -> str:
    """The text of one cell of the matrix, without its marks."""
    found = re.search(rf'id="slice-{entity}-{region}".*?</td>', text, re.DOTALL)
    assert found is not None
    return " ".join(re.sub(r"<[^>]*>", " ", found[0].split(">", 1)[1]).split())


def test_the_matrix_has_a_cell_for_every_slice(client: Client, sign_in: SignIn) -> None:
    """Entities in the order of dependency, regions across, one link for each slice."""
    sign_in()
    text = client.get("/console").text
    assert re.findall(r'id="row-(\w+)"', text) == list(ENTITIES)
    assert len(re.findall(r'class="cell"', text)) == len(ENTITIES) * len(REGIONS)


def test_a_cell_says_stage_authority_agreement_lag_and_backlog(client: Client, sign_in: SignIn) -> None:
    """All that decides whether a slice may go on is read in its cell, and the share of agreement never
    flatters."""
    sign_in()
    assert cell(client.get("/console").text, "invoice", "EMEA") == (
        "shadow legacy consistent 99.76 % mismatches 36 lag p99 12 s "
        "214 open, oldest 5 min 41 s 3 parked 1 unknown"
    )


def test_no_comparison_is_not_agreement(client: Client, sign_in: SignIn) -> None:
    """A slice without comparisons shows no percentage."""
    sign_in()
    assert (
        cell(client.get("/console").text, "payment", "AMER")
        == "legacy only legacy consistent – mismatches 0 lag p99 – no mirror"
    )


def test_the_poll_is_the_matrix_alone(client: Client, sign_in: SignIn) -> None:
    """The fragment has the figures of now and no page around them, and every cell keeps its id for the
    focus."""
    sign_in()
    text = client.get("/console/matrix", headers=BY_SCRIPT).text
    assert "<html" not in text
    assert 'id="slice-invoice-EMEA"' in text


def test_figures_are_asked_for_once_however_many_look(
    client: Client, gateway: FakeGateway, sign_in: SignIn
) -> None:
    """Ten open pages cost the database what one costs."""
    asked: list[int] = []
    summary = gateway.diffs.summary

    async def counted(**narrowed: Any) -> Any:
        asked.append(1)
        return await summary(**narrowed)

    gateway.diffs.summary = counted  # type: ignore[method-assign]
    sign_in()
    for _ in range(10):
        client.get("/console/matrix", headers=BY_SCRIPT)
    assert len(asked) == 1


def test_a_key_of_one_region_sees_that_region(client: Client, sign_in: SignIn) -> None:
    """What lies outside a key's regions is not shown, not counted and not found."""
    sign_in(UK_ONLY)
    text = client.get("/console").text
    assert "slice-invoice-UK" in text
    assert "slice-invoice-EMEA" not in text
    assert "8 slices" in text
    assert client.get("/console/slices/invoice/EMEA").status_code == 404
    assert client.get("/console/slices/invoice/UK").status_code == 200


def test_a_cohort_stands_beside_its_region(
    client: Client, sign_in: SignIn, gateway: FakeGateway
) -> None:
    """A cohort is a column of its own, in which a slice that it does not narrow is said to be as its region's is. Who
    may see the region sees it, and nobody else."""
    for region in ("UK", "EMEA"):
        one = gateway.slices.known["project", region]
        gateway.slices.known["project", f"{region}.wave1"] = msgspec.structs.replace(one, region=f"{region}.wave1")
        gateway.slices.changes["project", f"{region}.wave1"] = []
    sign_in(UK_ONLY)
    text = client.get("/console").text
    assert 'id="slice-project-UK.wave1"' in text
    assert "EMEA.wave1" not in text
    assert text.count("as in UK") == len(ENTITIES) - 1
    assert client.get("/console/slices/project/UK.wave1").status_code == 200
    assert client.get("/console/slices/project/EMEA.wave1").status_code == 404


@pytest.mark.parametrize("stage", list(Stage))
def test_the_legend_is_the_stage_table(client: Client, sign_in: SignIn, stage: Stage) -> None:
    """Each row of the legend says what PLANS says."""
    sign_in()
    legend = client.get("/console").text.split('id="legend-head"')[1]
    found = re.search(rf'<tr class="st-{stage}">(.*?)</tr>', legend, re.DOTALL)
    assert found is not None
    words = [
        " ".join(re.sub(r"<[^>]*>", " ", part).split())
        for part in re.findall(r"<td>(.*?)</td>", found[1], re.DOTALL)
    ]
    plan = PLANS[stage]
    assert words == [plan.authority, plan.shadow_read or "–", plan.authority, plan.mirror or "–"]


def test_the_panel_offers_the_neighbours_first_and_leaps_apart(client: Client, sign_in: SignIn) -> None:
    """On, then back; a leap stands in its own fold, because it needs an override."""
    sign_in()
    text = client.get(SLICE, headers=BY_SCRIPT).text
    assert re.findall(r'name="stage" value="(\w+)"', text) == [
        "live",
        "dual_write",
        "ramp_down",
        "cloud_only",
        "legacy_only",
    ]
    ordinary, leaps = text.split("Leave out a stage")
    assert 'value="live"' in ordinary
    assert 'value="dual_write"' in ordinary
    assert 'value="cloud_only"' in leaps
    assert "moves the authority to cloud" in ordinary


def test_the_panel_names_gates_and_dependencies_beforehand(client: Client, sign_in: SignIn) -> None:
    """What stands in the way is said before anything is sent."""
    sign_in()
    text = client.get("/console/slices/payment/EMEA", headers=BY_SCRIPT).text
    assert "open deliveries: no deliveries of the slice that are not settled" in text
    assert "payment in EMEA would be live while invoice, which it refers to, is shadow" in text


def test_the_panel_shows_what_the_mirror_would_lose(
    client: Client, gateway: FakeGateway, sign_in: SignIn
) -> None:
    """Before a mirror begins its losses are named, what blocks apart from what is taken with the reason; a slice that
    has its mirror shows none."""
    sign_in()
    gateway.switchover.notices = (
        Notice(path="amount", words="is required and other 1 does not hold it", blocks=True, lost=True),
        Notice(path="method", words="text longer than 5 characters is cut: “<b>” & more", lost=True),
        Notice(path="reference", words="longer text is cut"),
    )
    text = client.get(f"/console/slices/payment/{REGIONS[0]}", headers=BY_SCRIPT).text
    assert "What cloud would lose from dual write on" in text
    assert '<p class="box box-bad"><code>amount</code> is required and other 1 does not hold it</p>' in text
    assert "2 fields lose something, 1 of them a value that legacy holds" in text
    assert "&lt;b&gt;" in text
    assert "With the reason that you give you take these losses" in text
    assert "would lose" not in client.get(SLICE, headers=BY_SCRIPT).text
    gateway.switchover.notices = ()
    assert (
        "every field that is compared comes back"
        in client.get(f"/console/slices/payment/{REGIONS[0]}", headers=BY_SCRIPT).text
    )


def test_a_mirror_that_cannot_hold_a_field_is_refused_and_may_be_overridden(
    client: Client, gateway: FakeGateway, sign_in: SignIn, csrf: Csrf
) -> None:
    """The gate is named, and it takes an override with a reason of its own to go on."""
    sign_in()
    gateway.switchover.notices = (Notice(path="amount", words="is required", blocks=True, lost=True),)
    where = f"/console/slices/payment/{REGIONS[0]}"
    fields = {"csrf": csrf(), "stage": "dual_write", "reason": "begin", "expected_version": "1"}
    answer = client.post(where, data=fields, headers=BY_SCRIPT)
    assert answer.status_code == 422
    assert "1 fields that the mirror cannot take" in answer.text
    answer = client.post(
        where, data={**fields, "override": "yes", "override_reason": "no payments yet"}, headers=BY_SCRIPT
    )
    assert answer.status_code == 200
    assert "overrode mapping" in answer.text


def test_a_change_goes_to_the_switchover_with_the_name_of_who_made_it(
    client: Client, gateway: FakeGateway, sign_in: SignIn, csrf: Csrf
) -> None:
    """The stage, the reason and the key's name arrive; the panel says what holds now, and the matrix is
    told."""
    sign_in()
    fields = {
        "csrf": csrf(),
        "stage": "dual_write",
        "reason": " back for\n month-end ",
        "expected_version": "3",
    }
    answer = client.post(SLICE, data=fields, headers=BY_SCRIPT)
    assert answer.status_code == 200
    assert answer.headers["hx-trigger"] == "slice-changed"
    assert "is now at dual write" in answer.text
    assert gateway.switchover.calls == [
        {
            "stage": Stage.DUAL_WRITE,
            "reason": "back for month-end",
            "actor": "Ada Migration",
            "override": False,
        }
    ]
    assert "shadow → dual write" in answer.text


def test_without_script_a_change_ends_on_a_page(client: Client, sign_in: SignIn, csrf: Csrf) -> None:
    """The form works without script, too, and loading that page again sends nothing twice."""
    sign_in()
    fields = {"csrf": csrf(), "stage": "dual_write", "reason": "x", "expected_version": "3"}
    answer = client.post(SLICE, data=fields)
    assert (answer.status_code, answer.headers["location"]) == (303, SLICE + "?done=1")
    assert "is now at dual write" in client.get(SLICE + "?done=1").text


def test_a_refused_change_names_the_gate_and_keeps_what_was_typed(
    client: Client, gateway: FakeGateway, sign_in: SignIn, csrf: Csrf
) -> None:
    """A gate is named with its figure and the way out; stage and reason stand as typed; an override is
    offered only now."""
    sign_in()
    assert 'name="override"' not in client.get(SLICE, headers=BY_SCRIPT).text
    fields = {"csrf": csrf(), "stage": "live", "reason": "two clean weeks", "expected_version": "3"}
    answer = client.post(SLICE, data=fields, headers=BY_SCRIPT)
    assert answer.status_code == 422
    assert "7 deliveries of the slice that are not settled" in answer.text
    assert "Clear what stands against it, or override it and say why." in answer.text
    assert 'value="live" required checked' in answer.text
    assert ">two clean weeks</textarea>" in answer.text
    assert 'name="override"' in answer.text
    assert gateway.slices.known["time_entry", "EMEA"].stage is Stage.SHADOW


def test_an_override_needs_its_own_reason_and_is_recorded(
    client: Client, gateway: FakeGateway, sign_in: SignIn, csrf: Csrf
) -> None:
    """Ticking the box is not enough; with a reason the change is made, and the history names what was
    overridden."""
    sign_in()
    fields = {"csrf": csrf(), "stage": "live", "reason": "go", "override": "yes", "expected_version": "3"}
    answer = client.post(SLICE, data=fields, headers=BY_SCRIPT)
    assert answer.status_code == 422
    assert "say why it may be overridden" in answer.text
    assert gateway.switchover.calls == []
    answer = client.post(SLICE, data={**fields, "override_reason": "they are test rows"}, headers=BY_SCRIPT)
    assert answer.status_code == 200
    assert gateway.switchover.calls[0]["reason"] == "go (override: they are test rows)"
    assert "overrode open_deliveries" in answer.text


def test_somebody_was_faster(client: Client, gateway: FakeGateway, sign_in: SignIn, csrf: Csrf) -> None:
    """A moved version is told with what the slice is now; the form is based on that, and keeps what was
    typed."""
    sign_in()
    fields = {"csrf": csrf(), "stage": "live", "reason": "mine", "expected_version": "2"}
    answer = client.post(SLICE, data=fields, headers=BY_SCRIPT)
    assert answer.status_code == 409
    assert "You saw version 2; it is now at version 3, stage shadow." in answer.text
    assert 'name="expected_version" value="3"' in answer.text
    assert ">mine</textarea>" in answer.text


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"stage": ""}, "pick the stage to move to"),
        ({"stage": "sideways"}, "pick the stage to move to"),
        ({"reason": "  \n "}, "say why"),
        ({"reason": "x" * 1001}, "at most 1000 characters"),
        ({"expected_version": "three"}, "load the panel again"),
        ({"expected_version": ""}, "load the panel again"),
    ],
)
def test_what_is_missing_is_said_and_nothing_is_sent(
    client: Client, gateway: FakeGateway, sign_in: SignIn, csrf: Csrf, changed: dict[str, str], said: str
) -> None:
    """A form that says too little reaches nobody."""
    sign_in()
    fields = {"csrf": csrf(), "stage": "live", "reason": "x", "expected_version": "3", **changed}
    answer = client.post(SLICE, data=fields, headers=BY_SCRIPT)
    assert answer.status_code == 422
    assert said in answer.text
    assert gateway.switchover.calls == []


def test_a_slice_outside_the_key_cannot_be_changed(
    client: Client, gateway: FakeGateway, sign_in: SignIn, csrf: Csrf
) -> None:
    """A made-up form for another region finds nothing."""
    sign_in(UK_ONLY)
    fields = {"csrf": csrf(), "stage": "live", "reason": "x", "expected_version": "3"}
    assert client.post(SLICE, data=fields).status_code == 404
    assert gateway.switchover.calls == []


def test_an_unknown_slice_is_a_page_of_its_own(client: Client, sign_in: SignIn) -> None:
    """A wrong address ends on a page that says where to go on; in the dialog it ends in the dialog."""
    sign_in(FULL)
    answer = client.get("/console/slices/invoice/MARS")
    assert answer.status_code == 404
    assert "To the routing matrix" in answer.text
    part = client.get("/console/slices/invoice/MARS", headers=BY_SCRIPT)
    assert part.status_code == 404
    assert "<html" not in part.text
