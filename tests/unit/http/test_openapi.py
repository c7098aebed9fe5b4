"""The document against the server that it describes."""

from __future__ import annotations

import re
from typing import Any

import jsonschema
import pytest
from litestar.testing import TestClient
from openapi_spec_validator import OpenAPIV31SpecValidator

from gateway.canonical import ENTITIES, decode_draft, decode_patch, encode
from gateway.http.examples import EXAMPLES, PATCHES
from gateway.http.problems import PROBLEMS, TYPE, row
from gateway.routing.stage import Stage
from tests.unit.http.fakes import REGIONS, World

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    with TestClient(World().app()) as client:
        return client.get("/openapi.json").json()


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (path, method, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]


def test_is_valid(document: dict[str, Any]) -> None:
    """The document is OpenAPI 3.1."""
    OpenAPIV31SpecValidator(document).validate()


def test_routes_and_document_are_one_list(document: dict[str, Any], world: World) -> None:
    """Every documented call is served, and no path takes a method that is not documented: no hidden route."""
    with TestClient(world.app()) as client:
        for path, methods in document["paths"].items():
            address = re.sub(r"{[^}]*}", "x", path)
            listed = {method.upper() for method in methods}
            for method in METHODS:
                answer = client.request(method, address)
                told = (
                    answer.json()
                    if answer.headers["content-type"] == "application/problem+json" and answer.text
                    else {}
                )
                served = answer.status_code != 405 and not told.get("type", "").endswith(":route-not-found")
                assert served == (method in listed or (method == "HEAD" and "GET" in listed)), (method, path)


def test_nothing_is_served_beside_the_document(document: dict[str, Any], world: World) -> None:
    """The framework itself has no routes but our prefixes and the documented single paths."""
    registered = {route.path for route in world.app().app.routes}
    prefixes = ("/v1", "/admin/v1", "/hooks/v1")
    single = {path for path in document["paths"] if not path.startswith(tuple(f"{one}/" for one in prefixes))}
    assert registered == single | set(prefixes)


def test_every_failure_is_problem_json(document: dict[str, Any]) -> None:
    """No call documents an error in another form than problem+json; readiness answers 503 in its own words
    too."""
    for path, method, operation in operations(document):
        for status, answer in operation["responses"].items():
            if int(status) >= 400 and (path, status) != ("/health/ready", "503"):
                assert set(answer["content"]) == {"application/problem+json"}, (path, method, status)


def test_every_call_says_what_it_may_answer(document: dict[str, Any]) -> None:
    """Guarded calls document 401 and 403; calls with a body 413 and 415; all of them 400 and 500."""
    for path, method, operation in operations(document):
        statuses = set(operation["responses"])
        assert {"400", "500"} <= statuses, (path, method)
        if operation["security"]:
            assert {"401", "403", "503"} <= statuses, (path, method)
        if "requestBody" in operation:
            assert {"413", "415"} <= statuses, (path, method)


def test_every_kind_of_problem_is_told(document: dict[str, Any]) -> None:
    """The document names every type of problem, and a call names those that it can answer with."""
    types = {TYPE + found.slug for found in PROBLEMS.values()}
    assert set(document["components"]["schemas"]["Problem"]["properties"]["type"]["enum"]) == types
    for path, method, operation in operations(document):
        for status, answer in operation["responses"].items():
            content = answer.get("content", {}).get("application/problem+json")
            if content:
                properties = content["schema"]["properties"]
                assert set(properties["type"]["enum"]) <= types
                told = {
                    row(kind).status
                    for kind in PROBLEMS
                    if TYPE + row(kind).slug in properties["type"]["enum"]
                }
                assert told == {int(status)}, (path, method, status)


def test_operation_ids_are_unique(document: dict[str, Any]) -> None:
    """A generated client gets one function per call."""
    names = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(set(names)) == len(names)


def test_description_prints_the_stage_table(document: dict[str, Any]) -> None:
    """The text carries the same stage table as the program."""
    for stage in Stage:
        assert f"| {stage} |" in document["info"]["description"]


@pytest.mark.parametrize("entity", ENTITIES, ids=lambda entity: entity.name)
def test_examples_work(document: dict[str, Any], entity: Any) -> None:
    """Every example fits its schema and is taken by the decoder: who copies it begins with success."""
    create = document["paths"][f"/v1/{entity.collection}"]["post"]["requestBody"]["content"][
        "application/json"
    ]
    assert create["example"] == {"region": REGIONS[0], **EXAMPLES[entity.name]}
    jsonschema.Draft202012Validator({**create["schema"], "components": document["components"]}).validate(
        create["example"]
    )
    decode_draft(entity, encode(create["example"]))
    decode_patch(entity, encode(PATCHES[entity.name]))


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    """No $ref and no link points at something that is not there."""
    names = {operation["operationId"] for _, _, operation in operations(document)}

    def walk(node: Any) -> None:
        if isinstance(node, dict):
            target = node.get("$ref")
            if isinstance(target, str):
                found: Any = document
                for step in target.removeprefix("#/").split("/"):
                    found = found[step]
            if "operationId" in node and "parameters" in node and isinstance(node["parameters"], dict):
                assert node["operationId"] in names
            for value in node.values():
                walk(value)
        elif isinstance(node, list):
            for value in node:
                walk(value)

    walk(document)
