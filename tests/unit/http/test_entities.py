"""The calls of the business side, over a store in memory."""

from __future__ import annotations

from typing import Any

import pytest
from litestar.testing import TestClient

from gateway.canonical import ENTITIES, Entity
from gateway.errors import IllegalTransition, Refused
from gateway.http.examples import EXAMPLES, PATCHES, TRANSITIONS
from tests.unit.http.fakes import REGIONS, World

Client = TestClient[Any]
BY_ENTITY = pytest.mark.parametrize("entity", ENTITIES, ids=lambda entity: entity.name)
KEY = {"Idempotency-Key": "k-1"}


def create(client: Client, entity: Entity, **headers: str) -> Any:
    body = {"region": "UK", **EXAMPLES[entity.name]}
    return client.post(f"/v1/{entity.collection}", json=body, headers={**KEY, **headers})


@BY_ENTITY
def test_create(world: World, client: Client, entity: Entity) -> None:
    """201 with the record, its address, its version and who answered; the command carries what was sent."""
    answer = create(client, entity)
    assert answer.status_code == 201, answer.text
    body = answer.json()
    assert answer.headers["location"] == f"/v1/{entity.collection}/{body['id']}"
    assert answer.headers["etag"] == '"3"'
    assert answer.headers["twinrun-operation"] == "op_1"
    assert answer.headers["twinrun-stage"] == "dual_write"
    assert answer.headers["twinrun-answered-by"] == "legacy"
    (command,) = world.store.commands
    assert (command.kind, command.entity, command.client, command.method, command.route) == (
        "create", entity.name, "all", "POST", f"/v1/{entity.collection}",
    )  # fmt: skip
    assert (command.region, command.idempotency_key, command.wait_s) == ("UK", "k-1", 5.0)
    assert "region" not in command.body


@BY_ENTITY
def test_read_back(client: Client, entity: Entity) -> None:
    """What was created is read under its address, with its version, stage and what is pending; 304 if
    known."""
    where = create(client, entity).headers["location"]
    answer = client.get(where)
    assert answer.status_code == 200
    assert answer.headers["etag"] == '"3"'
    assert answer.headers["twinrun-stage"] == "shadow"
    assert answer.headers["pending-operations"] == "1"
    known = client.get(where, headers={"If-None-Match": '"3"'})
    assert (known.status_code, known.content, known.headers["etag"]) == (304, b"", '"3"')
    assert client.get(where, headers={"If-None-Match": '"2"'}).status_code == 200
    head = client.head(where)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == answer.headers["content-length"]


@BY_ENTITY
def test_change(world: World, client: Client, entity: Entity) -> None:
    """A merge patch goes inwards as it was sent, with the version that it is based on."""
    where = create(client, entity).headers["location"]
    media = {"Content-Type": "application/merge-patch+json", "If-Match": '"3"'}
    answer = client.patch(where, json=PATCHES[entity.name], headers=media)
    assert answer.status_code == 200, answer.text
    command = world.store.commands[-1]
    assert (command.kind, command.body, command.if_match) == ("update", PATCHES[entity.name], 3)
    assert command.route == f"/v1/{entity.collection}/{{id}}"


@BY_ENTITY
def test_change_without_a_version(client: Client, entity: Entity) -> None:
    """A change of a contract, invoice or payment needs If-Match; a star will do for it, and others need
    none."""
    where = create(client, entity).headers["location"]
    answer = client.patch(where, json=PATCHES[entity.name])
    assert answer.status_code == (428 if entity.name in ("contract", "invoice", "payment") else 200)
    assert client.patch(where, json=PATCHES[entity.name], headers={"If-Match": "*"}).status_code == 200


@BY_ENTITY
def test_transition(world: World, client: Client, entity: Entity) -> None:
    """A move goes inwards as state and reason."""
    where = create(client, entity).headers["location"]
    answer = client.post(f"{where}/transitions", json=TRANSITIONS[entity.name], headers=KEY)
    assert answer.status_code == 200, answer.text
    command = world.store.commands[-1]
    assert (command.kind, command.body) == ("transition", TRANSITIONS[entity.name])


@BY_ENTITY
def test_key_is_required_where_money_moves(client: Client, entity: Entity) -> None:
    """Creates and moves of contract, time entry, expense, invoice and payment need an Idempotency-Key."""
    needed = entity.name in ("contract", "time_entry", "expense", "invoice", "payment")
    answer = client.post(f"/v1/{entity.collection}", json={"region": "UK", **EXAMPLES[entity.name]})
    assert answer.status_code == (400 if needed else 201)
    if needed:
        assert answer.json()["type"] == "urn:twinrun:problem:key-missing"
        moved = client.post(
            f"/v1/{entity.collection}/{entity.prefix}1/transitions", json=TRANSITIONS[entity.name]
        )
        assert moved.json()["type"] == "urn:twinrun:problem:key-missing"


def test_accepted_is_followed_by_its_operation(world: World, client: Client) -> None:
    """202 names the operation to follow; nobody is said to have answered."""
    world.store.status = 202
    answer = create(client, ENTITIES[0], Prefer="respond-async")
    assert answer.status_code == 202
    assert answer.headers["location"] == "/v1/operations/op_1"
    assert answer.headers["preference-applied"] == "respond-async"
    assert "etag" not in answer.headers
    assert "twinrun-answered-by" not in answer.headers
    assert world.store.commands[-1].wait_s == 0.0


def test_replayed_is_said(world: World, client: Client) -> None:
    """A replay is the earlier answer with a header that says so."""
    world.store.replayed = True
    assert create(client, ENTITIES[0]).headers["idempotent-replayed"] == "true"


def test_refusal_of_the_erp(world: World, client: Client) -> None:
    """What the ERP refuses is 422 with its reason and the operation."""
    world.store.refuse = Refused("VAT number is missing", operation="op_9", code="VAT_MISSING", replayed=True)
    answer = create(client, ENTITIES[0])
    assert answer.status_code == 422
    assert answer.headers["idempotent-replayed"] == "true"
    assert answer.json()["detail"] == "VAT number is missing"
    assert answer.json()["operation"] == "op_9"


def test_illegal_move_names_the_legal_ones(world: World, client: Client) -> None:
    """409 for an illegal move, with the legal ones."""
    world.store.refuse = IllegalTransition(legal=["active"])
    answer = client.post("/v1/customers/cus_1/transitions", json={"to": "archived"})
    assert (answer.status_code, answer.json()["legal"]) == (409, ["active"])


def test_trace_goes_through_and_comes_back(world: World, client: Client) -> None:
    """traceparent, tracestate and X-Request-Id are carried inwards and returned; an id is made where none
    is sent."""
    trace = {
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "tracestate": "a=b",
        "X-Request-Id": "mine-1",
    }
    answer = create(client, ENTITIES[0], **trace)
    assert {name: answer.headers[name] for name in trace} == trace
    assert world.store.commands[-1].trace == trace
    assert create(client, ENTITIES[0]).headers["x-request-id"].startswith("req_")


def test_by_ref(client: Client) -> None:
    """A record is found by the id that a system gave it, slashes and all; another system is no place to
    look."""
    answer = client.get("/v1/invoices/by-ref/legacy/INV/2026/0001")
    assert answer.status_code == 200
    assert answer.headers["content-location"] == "/v1/invoices/inv_1"
    assert client.get("/v1/customers/by-ref/legacy/a%2Fb").json()["name"] == "a/b"
    assert client.get("/v1/customers/by-ref/crm/1").status_code == 404
    assert client.get("/v1/customers/by-ref/legacy/%00").status_code == 404


def test_list_narrows_to_what_the_key_may_read(world: World, client: Client) -> None:
    """Without region a list fans out over the caller's regions; a region that it may not read is 403."""
    assert client.get("/v1/customers").status_code == 200
    assert world.store.queries[-1].regions == REGIONS
    uk = {"Authorization": "Bearer uk"}
    assert client.get("/v1/customers", headers=uk).status_code == 200
    assert world.store.queries[-1].regions == ("UK",)
    assert client.get("/v1/customers?region=US", headers=uk).status_code == 403


def test_list_filters(world: World, client: Client) -> None:
    """Filters go inwards by their canonical names; limit and updated_since are typed."""
    asked = "region=UK&state=draft&billable=true&date=2026-01-31&legal_entity=UK01&limit=7"
    answer = client.get(f"/v1/time-entries?{asked}&updated_since=2026-01-01T00:00:00Z")
    assert answer.status_code == 200, answer.text
    query = world.store.queries[-1]
    assert query.where == {"state": "draft", "billable": "true", "date": "2026-01-31", "legal_entity": "UK01"}
    assert (query.limit, query.regions) == (7, ("UK",))
    assert query.updated_since is not None


def test_cursor_is_good_for_its_own_list_only(world: World, client: Client) -> None:
    """next_cursor leads on with the same filters; with others, or on another list, it is a foreign one."""
    world.store.next_cursor = "inner"
    cursor = client.get("/v1/customers?state=active").json()["next_cursor"]
    assert "inner" not in cursor
    assert client.get(f"/v1/customers?state=active&limit=5&cursor={cursor}").status_code == 200
    assert world.store.queries[-1].cursor == "inner"
    for other in ("/v1/customers", "/v1/customers?state=blocked", "/v1/projects?state=active"):
        answer = client.get(other, params={"cursor": cursor})
        assert (answer.status_code, answer.json()["type"]) == (400, "urn:twinrun:problem:foreign-cursor")


def test_object_out_of_reach_is_not_there(world: World, client: Client) -> None:
    """What a key may not see does not exist for it: 404, never 403, for a record; 403 for a collection."""
    where = create(client, ENTITIES[0]).headers["location"]
    only_invoices = {"Authorization": "Bearer invoices"}
    assert client.get(where, headers=only_invoices).status_code == 404
    assert client.patch(where, json={"name": "x"}, headers=only_invoices).status_code == 404
    assert client.get("/v1/customers", headers=only_invoices).status_code == 403
    assert create(client, ENTITIES[0], **only_invoices).status_code == 403
    body = {"region": "US", **EXAMPLES["customer"]}
    assert client.post("/v1/customers", json=body, headers={"Authorization": "Bearer uk"}).status_code == 403


def test_operations(client: Client) -> None:
    """An operation is read and cancelled within the caller's reach."""
    answer = client.get("/v1/operations/op_1", headers={"Authorization": "Bearer uk"})
    assert answer.json() == {"id": "op_1", "regions": ["UK"], "entities": []}
    assert client.delete("/v1/operations/op_1").status_code == 200
    assert client.get("/v1/operations/op_2").status_code == 404
    assert client.get("/v1/operations/1").status_code == 404
