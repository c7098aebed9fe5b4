"""NDJSON: what is a line, what is its key, and what answers it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import KeyMissing, Malformed
from gateway.http.lines import Line, Splitter, answered, opened
from gateway.http.reply import Reply, ok


def split(*parts: bytes, limit: int = 100) -> list[tuple[int, bytes | None]]:
    splitter = Splitter(limit)
    found: list[Line] = []
    for part in parts:
        found.extend(splitter.feed(part))
    found.extend(splitter.close())
    return [(line.number, line.text) for line in found]


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        pytest.param([b'{"a":1}\n{"b":2}\n'], [(1, b'{"a":1}'), (2, b'{"b":2}')], id="two"),
        pytest.param([b'{"a":1}\n{"b":2}'], [(1, b'{"a":1}'), (2, b'{"b":2}')], id="no break at the end"),
        pytest.param([b'{"a"', b":1", b"}\n{", b"}"], [(1, b'{"a":1}'), (2, b"{}")], id="in parts"),
        pytest.param([b"{}\r\n\r\n{}\r\n"], [(1, b"{}"), (3, b"{}")], id="blank lines count and are skipped"),
        pytest.param([b"\n \t\n\n{}"], [(4, b"{}")], id="blank at the beginning"),
        pytest.param([], [], id="nothing"),
        pytest.param([b"\n\n"], [], id="only blank"),
    ],
)
def test_lines(parts: list[bytes], expected: list[tuple[int, bytes]]) -> None:
    """A line ends at a line break, wherever the parts end; blank ones are counted and not answered."""
    assert split(*parts) == expected


def test_a_long_line_is_told_and_not_kept() -> None:
    """Only the line that is longer than the limit is lost; nothing of it is held while it goes on."""
    splitter = Splitter(10)
    assert list(splitter.feed(b"a" * 10 + b"\n" + b"b" * 11)) == [Line(number=1, text=b"a" * 10)]
    for _ in range(5):
        assert list(splitter.feed(b"c" * 1000)) == []
        assert not splitter._begun
    assert list(splitter.feed(b"\nd\n")) == [Line(number=2, text=None), Line(number=3, text=b"d")]


@given(st.lists(st.binary(max_size=30)), st.integers(1, 12))
def test_where_parts_end_does_not_matter(lines: list[bytes], size: int) -> None:
    """However a body is cut into parts, the same lines come out."""
    body = b"\n".join(lines)
    assert split(*(body[at : at + size] for at in range(0, len(body), size)), limit=20) == split(
        body, limit=20
    )


@pytest.mark.parametrize(
    ("text", "key", "fields"),
    [
        pytest.param('{"idempotency_key":"a-1","name":"x"}', "a-1", {"name": "x"}, id="compact"),
        pytest.param('{"name": "x", "idempotency_key": "a 1"}', "a 1", {"name": "x"}, id="with blanks"),
        pytest.param('{"name":"x"}', None, {"name": "x"}, id="none"),
        pytest.param(r'{"idempotency_key":"\u0061","n":{"idempotency_key":7}}', "a",
                     {"n": {"idempotency_key": 7}}, id="only the outermost"),
        pytest.param('{"a":{"b":1,"b":2}, "c":1.50}', None, {"a": {"b": 2}, "c": 1.5}, id="inner ones untouched"),
    ],
)  # fmt: skip
def test_the_key_of_a_line(text: str, key: str | None, fields: dict[str, object]) -> None:
    """The key is taken out; every other member is handed on as it was written."""
    found, body = opened(text.encode(), required=False)
    assert found == key
    assert json.loads(body) == fields
    inner = text.partition('{"b"')[2].partition("}")[0]
    assert inner.encode() in body


@pytest.mark.parametrize(
    ("text", "pointer", "code"),
    [
        pytest.param(b"{", "", "json", id="not JSON"),
        pytest.param(b"{} {}", "", "json", id="two values"),
        pytest.param(b"[1]", "", "type", id="an array"),
        pytest.param(b'"x"', "", "type", id="a text"),
        pytest.param(b"null", "", "type", id="null"),
        pytest.param(b'{"a":1,"a":2}', "/a", "repeated", id="a member twice"),
        pytest.param(
            b'{"idempotency_key":"a","idempotency_key":"b"}', "/idempotency_key", "repeated", id="two keys"
        ),
        pytest.param(b'{"a":1,"\\u0061":2}', "/a", "repeated", id="twice in two spellings"),
        pytest.param(b'{"idempotency_key":""}', "/idempotency_key", "malformed", id="empty key"),
        pytest.param(b'{"idempotency_key":7}', "/idempotency_key", "malformed", id="a number"),
        pytest.param(b'{"idempotency_key":null}', "/idempotency_key", "malformed", id="null key"),
        pytest.param(b'{"idempotency_key":"\\n"}', "/idempotency_key", "malformed", id="not printable"),
        pytest.param('{"idempotency_key":"é"}'.encode(), "/idempotency_key", "malformed", id="not ASCII"),
        pytest.param(
            b'{"idempotency_key":"' + b"k" * 256 + b'"}', "/idempotency_key", "malformed", id="long"
        ),
        pytest.param(b'{"\xff":1}', "", "encoding", id="not UTF-8"),
        pytest.param(b'{"a":' + b"[" * 5000, "", "depth", id="deep"),
    ],
)
def test_what_is_no_line(text: bytes, pointer: str, code: str) -> None:
    """What cannot be opened is refused with its place, as a single body is."""
    with pytest.raises(Malformed) as refused:
        opened(text, required=False)
    assert [(error.pointer, error.code) for error in refused.value.errors] == [(pointer, code)]


def test_a_key_where_one_is_needed() -> None:
    """A line without a key is refused where a single create without one is; what is no JSON is told first."""
    with pytest.raises(KeyMissing) as missing:
        opened(b"{}", required=True)
    assert missing.value.errors[0].pointer == "/idempotency_key"
    with pytest.raises(Malformed, match="not JSON"):
        opened(b"{", required=True)


def test_the_answer_to_a_line() -> None:
    """A line says the record, the operation to follow, or the problem, with what the headers would have said."""
    created = (
        ok({"id": "cus_1"}, status=201).header("twinrun-operation", "op_1").header("location", "/v1/c/cus_1")
    )
    assert json.loads(answered(3, "k", created)) == {
        "line": 3,
        "status": 201,
        "idempotency_key": "k",
        "operation": "op_1",
        "location": "/v1/c/cus_1",
        "record": {"id": "cus_1"},
    }
    waiting = (
        ok({"operation": "op_2"}, status=202).header("twinrun-operation", "op_2").header("retry-after", "1")
    )
    assert json.loads(answered(4, None, waiting.header("idempotent-replayed", "true"))) == {
        "line": 4,
        "status": 202,
        "operation": "op_2",
        "retry_after_s": 1,
        "replayed": True,
    }
    refused = Reply(400, b'{"status":400}', media=b"application/problem+json")
    assert json.loads(answered(5, "k", refused)) == {
        "line": 5,
        "status": 400,
        "idempotency_key": "k",
        "problem": {"status": 400},
    }
    assert all(answered(1, "k", one).count(b"\n") == 1 for one in (created, waiting, refused))
