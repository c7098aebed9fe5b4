"""The eight entities against the outside contract."""

from __future__ import annotations

import msgspec
import pytest

from gateway.canonical import BY_COLLECTION, BY_NAME, ENTITIES, Entity
from gateway.canonical.explain import escaped
from tests.unit.canonical.bodies import fullest, smallest

each_entity = pytest.mark.parametrize("entity", ENTITIES, ids=lambda entity: entity.name)

FIELDS = {
    "customer": (
        "name! number legal_name tax_id registration_number email phone website billing_address "
        "currency payment_terms_days credit_limit parent_id language"
    ),
    "project": (
        "name! customer_id! number contract_id manager_id billing_method! currency! start_date "
        "end_date budget_hours budget_amount practice cost_center tasks"
    ),
    "resource": (
        "name! number email kind! role grade skills cost_rate bill_rate capacity_hours_per_week "
        "manager_id employed_from employed_to"
    ),
    "contract": (
        "customer_id! title! kind! number signed_on start_date end_date currency! value "
        "payment_terms_days rate_card milestones billing_schedule revenue_method document_ref"
    ),
    "time_entry": "resource_id! project_id! date! hours! billable! task_code note rate timesheet_ref",
    "expense": (
        "resource_id! project_id! date! category! amount! tax_amount billable! reimbursable "
        "receipt_ref note merchant"
    ),
    "invoice": (
        "customer_id! currency! issue_date! lines! number project_id contract_id due_date "
        "posting_date net_total tax_total total balance"
    ),
    "payment": "customer_id! received_on! amount! method reference allocations",
}

NESTED = {
    ("customer", "billing_address"): "line1 line2 city state postal_code country",
    ("project", "tasks"): "code name billable",
    ("resource", "skills"): "name level",
    ("contract", "rate_card"): "role rate unit",
    ("contract", "milestones"): "code name amount due_date state",
    ("contract", "billing_schedule"): "due_date amount description",
    ("invoice", "lines"): (
        "number description project_id kind quantity unit_price amount tax_code tax_amount source_ids"
    ),
    ("payment", "allocations"): "invoice_id amount",
}

MOVES = {
    "customer": "prospect>active active>blocked blocked>active active>archived blocked>archived",
    "project": (
        "draft>approved approved>active active>on_hold on_hold>active active>closed on_hold>closed "
        "draft>cancelled approved>cancelled"
    ),
    "resource": "onboarding>active active>on_leave on_leave>active active>inactive on_leave>inactive",
    "contract": (
        "draft>sent sent>signed signed>active active>completed draft>terminated sent>terminated "
        "signed>terminated active>terminated"
    ),
    "time_entry": (
        "draft>submitted submitted>approved approved>posted posted>invoiced submitted>rejected rejected>draft"
    ),
    "expense": (
        "draft>submitted submitted>approved approved>posted posted>invoiced submitted>rejected "
        "rejected>draft posted>reimbursed"
    ),
    "invoice": (
        "draft>ready ready>released released>posted posted>partially_paid partially_paid>paid "
        "draft>void ready>void released>void"
    ),
    "payment": "received>applied applied>reversed",
}


def test_the_eight() -> None:
    """There are eight entities, each after all that it refers to, found by name and by collection."""
    assert set(BY_NAME) == set(FIELDS)
    assert set(BY_COLLECTION) == {
        "customers",
        "projects",
        "resources",
        "contracts",
        "time-entries",
        "expenses",
        "invoices",
        "payments",
    }
    seen: set[str] = set()
    for entity in ENTITIES:
        seen.add(entity.name)
        assert {reference.entity for reference in entity.references} <= seen


@each_entity
def test_fields(entity: Entity) -> None:
    """Each entity has the fields of the contract, and requires those that it marks."""
    fields = msgspec.structs.fields(entity.fields)
    has = {f.name + ("!" if f.required else "") for f in fields}
    assert has == set(FIELDS[entity.name].split())


@pytest.mark.parametrize(("entity", "field"), NESTED, ids="/".join)
def test_nested_fields(entity: str, field: str) -> None:
    """Nested objects have the members of the contract; the fullest body names each of them."""
    value = fullest(entity)[field]
    row = value[0] if isinstance(value, list) else value
    assert set(row) == set(NESTED[entity, field].split())
    assert BY_NAME[entity].draft_decoder.decode(msgspec.json.encode(fullest(entity)))


@each_entity
def test_moves(entity: Entity) -> None:
    """The legal moves are those of the contract and no others; every state that is reached is a state."""
    has = {f"{a}>{b}" for a, following in entity.lifecycle.moves.items() for b in following}
    assert has == set(MOVES[entity.name].split())
    assert {move.split(">")[1] for move in has} | {entity.lifecycle.initial} == set(entity.lifecycle.states)
    assert entity.lifecycle.legal("no_such_state") == ()


@each_entity
def test_references(entity: Entity) -> None:
    """Every field named for another record is declared as a reference, and to the entity of its prefix."""
    declared = {reference.path: reference.entity for reference in entity.references}
    named: set[str] = set()
    for name, value in fullest(entity.name).items():
        if name.endswith("_id") and name != "tax_id":
            named.add(name)
        if isinstance(value, list):
            named |= {f"{name}[].{member}" for member in value[0] if member.endswith("_id")}
    assert named == set(declared)
    for path, target in declared.items():
        kind = path.split(".")[-1].removesuffix("_id")
        expected = {"parent": "customer", "manager": "resource"}.get(kind, kind)
        assert target == expected


@each_entity
def test_prefix_and_ids(entity: Entity) -> None:
    """A reference to another kind of record is refused by its prefix alone."""
    for reference in entity.references:
        if "[]" in reference.path:
            continue
        body = {**smallest(entity.name), reference.path: "xxx_1"}
        with pytest.raises(msgspec.ValidationError, match=escaped(reference.path)):
            entity.draft_decoder.decode(msgspec.json.encode(body))
        body[reference.path] = BY_NAME[reference.entity].prefix + "1"
        assert entity.draft_decoder.decode(msgspec.json.encode(body))


def test_headers_required() -> None:
    """Idempotency-Key and If-Match are required where the contract says so."""
    needs_key = {e.name for e in ENTITIES if e.key_required}
    assert needs_key == {"contract", "time_entry", "expense", "invoice", "payment"}
    assert {e.name for e in ENTITIES if e.if_match_required} == {"contract", "invoice", "payment"}
    assert {e.name for e in ENTITIES if e.lane_mode == "latest"} == {"customer", "project", "resource"}


def test_natural_keys() -> None:
    """Only numbers refuse a second create; what merely matches a record in another system does not."""
    keys = {e.name: (e.natural_key, e.match_key) for e in ENTITIES}
    assert keys == {
        "customer": ("number", "number"),
        "project": ("number", "number"),
        "resource": ("number", "number"),
        "contract": ("number", "number"),
        "invoice": ("number", "number"),
        "time_entry": (None, "timesheet_ref"),
        "expense": (None, "receipt_ref"),
        "payment": (None, "reference"),
    }


@each_entity
def test_filters_are_fields(entity: Entity) -> None:
    """Every filter is an own field, and the match key is one of them."""
    own = {field.name for field in msgspec.structs.fields(entity.fields)}
    assert set(entity.filters) <= own
    assert entity.match_key in entity.filters
