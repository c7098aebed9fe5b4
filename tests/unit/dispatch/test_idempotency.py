"""What makes two requests the same, and what keeps them apart."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gateway.dispatch.command import Command
from gateway.dispatch.executor import retold
from gateway.dispatch.idempotency import Intent, intent_of, told
from gateway.errors import FieldError, IllegalTransition
from gateway.ids import SystemIds

CREATE = Command(
    kind="create",
    entity="customer",
    client="psa",
    method="POST",
    route="/v1/customers",
    body={"name": "Harbour", "currency": "GBP"},
    region="UK",
    idempotency_key="k-1",
)
UPDATE = msgspec.structs.replace(
    CREATE, kind="update", method="PATCH", route="/v1/customers/{id}", record_id="cus_1", region=None
)


def _intent(command: Command, **changed: Any) -> Intent:
    return intent_of(msgspec.structs.replace(command, **changed), entity_prefix="cus_", ids=SystemIds())


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"client": "crm"}, id="another client"),
        pytest.param({"method": "PUT"}, id="another method"),
        pytest.param({"route": "/v1/projects"}, id="another route"),
        pytest.param({"idempotency_key": "k-2"}, id="another key"),
        pytest.param({"client": "psaP", "method": "OST"}, id="the same letters, cut elsewhere"),
    ],
)
def test_a_key_is_one_callers_for_one_route(changed: dict[str, Any]) -> None:
    """The scope of a key is client, method and route; in another scope it is another key."""
    assert _intent(CREATE).scope != _intent(CREATE, **changed).scope


def test_a_key_does_not_stand_in_the_journal() -> None:
    """Keys are kept as hashes; without one there is no scope."""
    scope = _intent(CREATE).scope
    assert scope is not None
    assert "k-1" not in scope
    assert _intent(CREATE, idempotency_key=None).scope is None


@pytest.mark.parametrize(
    ("command", "changed"),
    [
        pytest.param(CREATE, {"body": {"name": "Quay", "currency": "GBP"}}, id="another body"),
        pytest.param(CREATE, {"region": "US"}, id="another region"),
        pytest.param(CREATE, {"legal_entity": "UK01"}, id="another legal entity"),
        pytest.param(CREATE, {"external_refs": {"crm": "7"}}, id="another reference"),
        pytest.param(UPDATE, {"record_id": "cus_2"}, id="another record"),
        pytest.param(UPDATE, {"if_match": 1}, id="a condition"),
        pytest.param(UPDATE, {"body": {"phone": None}}, id="null is not absent"),
    ],
)
def test_requests_that_differ(command: Command, changed: dict[str, Any]) -> None:
    """Whatever the outcome depends on is in the fingerprint."""
    assert _intent(command).fingerprint != _intent(command, **changed).fingerprint


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"body": {"currency": "GBP", "name": "Harbour"}}, id="the order of members"),
        pytest.param({"wait_s": 20.0}, id="how long the caller waits"),
        pytest.param({"trace": {"X-Request-Id": "r-2"}}, id="the trace"),
    ],
)
def test_requests_that_are_the_same(changed: dict[str, Any]) -> None:
    """What does not change the outcome is not in the fingerprint: a retry may wait longer, or spell it otherwise."""
    assert _intent(CREATE).fingerprint == _intent(CREATE, **changed).fingerprint


def test_every_intent_has_ids_of_its_own() -> None:
    """Two intents share no id and no marker, also for the same command."""
    one, two = _intent(CREATE), _intent(CREATE)
    for name in ("operation_id", "record_id", "authority_delivery", "mirror_delivery", "marker"):
        assert getattr(one, name) != getattr(two, name)
    assert _intent(UPDATE).record_id == "cus_1"


def test_a_refusal_is_kept_as_it_was() -> None:
    """A refusal that was stored is told again with its kind, words, places and facts."""
    refused = IllegalTransition(
        "no way",
        errors=[FieldError(pointer="/to", code="c", message="m")],
        legal=["active"],
        state="prospect",
    )
    kept = msgspec.json.decode(msgspec.json.encode(told(refused)))
    again = retold(kept, replayed=True)
    assert type(again) is IllegalTransition
    assert (again.detail, again.errors) == (refused.detail, refused.errors)
    assert again.facts == {"legal": ["active"], "state": "prospect", "replayed": True}
