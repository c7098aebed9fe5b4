"""What the generator cannot know: which values only this service can make, and which it makes against the
schema.

``SEEDED`` names a file that says what exists: one of ``records`` by entity, its ``native`` id by
collection, and an ``operation``.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import schemathesis
from schemathesis.core.parameters import ParameterLocation
from schemathesis.generation import GenerationMode

_SEEDED: dict[str, Any] = json.loads(Path(os.environ["SEEDED"]).read_text(encoding="utf-8"))
_BY_PREFIX = {record_id.partition("_")[0]: record_id for record_id in _SEEDED["records"].values()}
_REFERENCE = re.compile(r"(cus|prj|res|con|tim|exp|inv|pay)_[0-9A-Za-z-]{1,60}")


@schemathesis.serializer("application/x-ndjson", "application/ndjson", "application/jsonl")
def as_lines(context: Any, value: Any) -> bytes:
    """A file of lines is sent as the text that it is."""
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "replace")


def valid(case: Any) -> bool:
    return case.meta is not None and case.meta.generation.mode is GenerationMode.POSITIVE


def wrong_body(case: Any) -> bool:
    body = None if case.meta is None else case.meta.components.get(ParameterLocation.BODY)
    return body is not None and body.mode is GenerationMode.NEGATIVE


@schemathesis.hook
def filter_case(context: Any, case: Any) -> bool:
    """Leaves out cases that are called valid and are not.

    A cursor is signed, so none that is made up is valid, and a version and a number of days are written
    without a fraction, also where that is zero; the schema cannot say so. And for header values with
    characters other than letters and digits the generator sends "0", whatever the pattern says.
    """
    if not valid(case):
        # Any text is a file of lines, and what is wrong with a line is that line's answer.
        return not (case.operation.path.endswith("/bulk") and wrong_body(case))
    if "cursor" in (case.query or {}):
        return False
    whole = ("expected_version", "days")
    if isinstance(case.body, dict) and any(isinstance(case.body.get(name), float) for name in whole):
        return False
    for parameter in case.operation.headers:
        value = (case.headers or {}).get(parameter.name)
        pattern = parameter.definition.get("schema", {}).get("pattern")
        if pattern is not None and value is not None and not re.search(pattern, str(value)):
            return False
    return True


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """Valid data refers to records that exist: an invented id would only ever show that it is not there."""
    if not valid(case):
        return
    if isinstance(case.body, dict):
        case.body = _existing(case.body)
    path = case.operation.path
    if path == "/v1/operations/{id}":
        case.path_parameters = {"id": _SEEDED["operation"]}
    elif path.endswith("/by-ref/{system}/{native_id}"):
        system, native_id = _SEEDED["native"][path.split("/")[2]]
        case.path_parameters = {"system": system, "native_id": native_id}


def _existing(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: inner if name == "custom_fields" else _existing(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_existing(inner) for inner in value]
    if isinstance(value, str) and _REFERENCE.fullmatch(value):
        return _BY_PREFIX[value.partition("_")[0]]
    return value
