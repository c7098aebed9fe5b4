"""What the prover finds of profiles that lose something on purpose, each with its counterexample."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from adapters.contract import Capability
from adapters.profile import FieldForm, Profile, load, parse
from gateway.canonical import BY_NAME
from gateway.proof import Loss, Notice, Outcome, Proofs, Prover, notices, prove_pair

PRODUCT = """
protocol = "odata"
product = "made_up"
version = "1"
source = "nowhere, read 2026-11"
grade = "simulated"
[entities.time_entry]
resource = "Entries"
key = "No"
capabilities = ["fetch", "search", "create", "update"]
marker = { path = "Marker" }
[entities.time_entry.fields]
resource_id = { path = "Worker", ref = "resource" }
project_id = { path = "Project", ref = "project" }
date = { path = "Day", convert = "date_iso" }
"""
NEEDED = {"hours": 'hours = "Hours"\n', "billable": 'billable = { path = "Billable", convert = "boolean" }\n'}


def product(**fields: str) -> Profile:
    """A product that holds time entries, with the fields given instead of the plain ones; "": without it."""
    lines = {**NEEDED, **{name: f"{name} = {form}\n" if form else "" for name, form in fields.items()}}
    return parse(PRODUCT + "".join(lines.values()), file="made_up.toml")


PLAIN = product()

FOLDED = '{ path = "S", values = { A = ["draft", "submitted", "approved", "posted", "invoiced"], R = "rejected" } }'
#: field, its form, the loss, the example and what becomes of it
CASES: list[Any] = [
    pytest.param("note", '{ path = "N", max_length = 5 }', Loss.SHORTENED, "Kestrel", "Kestr", id="length"),
    pytest.param(
        "hours",
        '{ path = "H", convert = "decimal_number", scale = 1 }',
        Loss.ROUNDED,
        "0.33",
        "0.3",
        id="decimals",
    ),
    pytest.param(
        "rate", '{ amount = "R", currency = "C", convert = "cents" }', Loss.REFUSED, None, None, id="cents"
    ),
    pytest.param(
        "rate", '{ amount = "R", fixed_currency = "EUR" }', Loss.REFUSED, None, None, id="one currency"
    ),
    pytest.param("billable", "{ constant = true }", Loss.CONSTANT, False, True, id="constant"),
    pytest.param("state", FOLDED, Loss.MERGED, "submitted", "draft", id="codes merged"),
    pytest.param(
        "state",
        '{ path = "S", values = { D = "draft" } }',
        Loss.REFUSED,
        "submitted",
        None,
        id="codes missing",
    ),
    pytest.param(
        "task_code", '{ path = "T", convert = "upper" }', Loss.CHANGED, "Kestrel", "kestrel", id="capitals"
    ),
    pytest.param(
        "task_code", '{ path = "T", default = "none" }', Loss.ASSUMED, None, "none", id="nothing is something"
    ),
    pytest.param("note", '{ path = "N", writable = false }', Loss.READ_ONLY, None, None, id="read only"),
    pytest.param("note", '{ path = "N", readable = false }', Loss.NOT_READ, None, None, id="never read"),
    pytest.param("note", '{ path = "N", on_update = false }', Loss.SET_ONCE, None, None, id="set once"),
    pytest.param("note", "", Loss.NOT_MAPPED, None, None, id="not mapped"),
]


@pytest.mark.parametrize(("field", "form", "loss", "example", "becomes"), CASES)
def test_each_loss_is_found_with_its_counterexample(
    field: str, form: str, loss: Loss, example: Any, becomes: Any
) -> None:
    """A field that was spoilt is not exact, and the value that shows it is one that a person can check."""
    spoilt = Prover(BY_NAME["time_entry"], product(**{field: form})).field(field)
    assert spoilt.outcome is not Outcome.EXACT
    found = next(one for one in spoilt.findings if one.loss is loss)
    if example is not None or becomes is not None:
        assert (found.example, found.becomes) == (example, becomes)


def test_plain_fields_are_exact() -> None:
    """Nothing is found where nothing is lost: the fields that every time entry carries."""
    proof = Prover(BY_NAME["time_entry"], PLAIN).prove()
    held = {field.path: field for field in proof.fields if field.findings == ()}
    assert set(held) == {"resource_id", "project_id", "date", "hours", "billable"}
    assert all(field.outcome is Outcome.EXACT and field.total and field.injective for field in held.values())
    assert proof.blocking == ()


def test_two_values_that_fall_together_are_named() -> None:
    """A mapping that is not injective is shown by two values with one image."""
    field = Prover(BY_NAME["time_entry"], product(note='{ path = "N", max_length = 5 }')).field("note")
    (finding,) = field.findings
    assert (field.total, field.injective) == (True, False)
    assert {finding.example, finding.twin} == {"Kestrel", "Kestr1"}


def test_text_beside_the_marker_keeps_what_the_marker_leaves() -> None:
    """Where a text shares its field with our marker, the length proved is the one that is left."""
    profile = parse(
        PRODUCT.replace('{ path = "Marker" }', '{ path = "N", style = "suffix", max_length = 30 }')
        + "".join(NEEDED.values())
        + 'note = { path = "N", max_length = 100 }\n',
        file="made_up.toml",
    )
    (finding,) = Prover(BY_NAME["time_entry"], profile).field("note").findings
    assert finding.loss is Loss.SHORTENED
    assert len(finding.becomes) == 100 - 30 - len(" [tw:]")


BLOCKS: list[Any] = [
    pytest.param({"billable": ""}, ["billable"], id="required and not mapped"),
    pytest.param({"rate": '{ amount = "R", currency = "C", scale = 1 }'}, ["rate"], id="money rounded"),
    pytest.param({"rate": '{ amount = "R", currency = "C", scale = 4 }'}, [], id="money whole"),
    pytest.param({"note": '{ path = "N", max_length = 3 }'}, [], id="a shorter note"),
    pytest.param({"hours": '{ path = "H", scale = 1 }'}, [], id="hours are no money"),
]


@pytest.mark.parametrize(("fields", "blocked"), BLOCKS)
def test_what_keeps_a_mirror_from_beginning(fields: dict[str, str], blocked: list[str]) -> None:
    """Only a required field without a place, and money that would be another amount; the rest is told."""
    pair = prove_pair(BY_NAME["time_entry"], load("sandbox_legacy"), product(**fields))
    assert [one.path for one in notices(pair) if one.blocks] == blocked
    told = {one.path for one in notices(pair)}
    assert set(blocked) <= told
    assert {name for name, form in fields.items() if "4" not in form} <= told


def test_a_product_without_the_entity_is_no_mirror_for_it() -> None:
    """Every field that a payment carries is in the way."""
    pair = prove_pair(BY_NAME["payment"], load("sandbox_legacy"), load("tryton_6_0"))
    assert {one.path for one in notices(pair) if one.blocks} == {"customer_id", "received_on", "amount"}
    assert not pair.second.written


def test_what_is_lost_of_held_values_is_told_from_what_neither_holds() -> None:
    """A cut that the first product makes already takes nothing from its records; a longer cut than its own does."""
    roomy = product(note='{ path = "N", max_length = 50 }')
    narrow = product(note='{ path = "N", max_length = 20 }')
    there = {one.path: one for one in prove_pair(BY_NAME["time_entry"], narrow, roomy).fields}
    back = {one.path: one for one in prove_pair(BY_NAME["time_entry"], roomy, narrow).fields}
    assert there["note"].outcome is Outcome.EXACT
    assert back["note"].outcome is Outcome.LOST
    assert back["note"].finding is not None
    assert len(back["note"].finding.example) == 21


def test_the_simulated_pair_survives_one_way_only() -> None:
    """Everything that the simulated legacy ERP holds fits into the cloud, and not the other way round."""
    legacy, cloud = load("sandbox_legacy"), load("sandbox_cloud")
    assert prove_pair(BY_NAME["customer"], legacy, cloud).outcome is Outcome.EXACT
    assert prove_pair(BY_NAME["customer"], cloud, legacy).outcome is Outcome.LOST


def test_states_that_only_the_product_sets() -> None:
    """Where a state is changed by named actions, a state without an action is out of our reach."""
    invoice = Prover(BY_NAME["invoice"], load("tryton_6_0"))
    unreachable = [one.example for one in invoice.field("state").findings if one.loss is Loss.UNREACHABLE]
    assert unreachable == ["partially_paid", "paid"]
    tax = invoice.field("tax_total").findings
    assert {one.loss for one in tax} == {Loss.READ_ONLY, Loss.REFUSED}


def test_a_limit_that_no_value_reaches_is_suspected() -> None:
    """A profile that sets a limit which no probe meets is not called exact."""
    profile = deepcopy(load("sandbox_cloud"))
    invoice = profile.entities["invoice"]
    short = FieldForm(path="Sources", convert="json_text", max_length=63)
    assert isinstance(invoice.fields["lines"], FieldForm)
    assert invoice.fields["lines"].each is not None
    invoice.fields["lines"].each["source_ids"] = short
    assert Prover(BY_NAME["invoice"], profile).field("lines[].source_ids").outcome is not Outcome.EXACT


async def test_systems_are_proved_by_their_profiles() -> None:
    """The proof of two systems is that of their profiles, and a system that is missing is told as such."""
    proofs = Proofs({"legacy": "sandbox_legacy", "cloud": "tryton_6_0"})
    found = await proofs.notices("time_entry", "legacy", "cloud")
    assert found is not None
    assert found[0] == Notice(
        path="billable", words="is required and tryton 6.0 does not hold it", blocks=True, lost=True
    )
    assert await proofs.notices("time_entry", "legacy", "payroll") is None
    assert await proofs.of("time_entry", "legacy", "cloud") is await proofs.of(
        "time_entry", "legacy", "cloud"
    )


def test_a_product_that_is_only_read_is_written_never() -> None:
    """Without creates nothing is sent, so nothing of it is proved by sending."""
    resource = Prover(BY_NAME["resource"], load("tryton_6_0"))
    assert Capability.CREATE not in load("tryton_6_0").entities["resource"].capabilities
    assert resource.field("name").outcome is Outcome.UNPROVEN
