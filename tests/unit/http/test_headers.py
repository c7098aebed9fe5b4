"""The request headers of the contract."""

from __future__ import annotations

import pytest

from gateway.errors import KeyMissing, Malformed, MediaTypeUnsupported
from gateway.http import headers


@pytest.mark.parametrize(
    ("sent", "key"),
    [
        ("abc", "abc"),
        ('"abc"', "abc"),
        ("8e03978e-40d5-43dd-bc93-6894a57f9324", "8e03978e-40d5-43dd-bc93-6894a57f9324"),
        ('"with blank"', "with blank"),
        (r'"a\"b\\c"', 'a"b\\c'),
        ("a" * 255, "a" * 255),
        ("  abc  ", "abc"),
        ("a,b;c=d", "a,b;c=d"),
    ],
    ids=["token", "quoted", "uuid", "blank in quotes", "escapes", "longest", "padding", "punctuation"],
)
def test_idempotency_key_is_read(sent: str, key: str) -> None:
    """A plain token and the draft's quoted string are the same key."""
    assert headers.idempotency_key(sent, required=True) == key


@pytest.mark.parametrize(
    "sent",
    [
        "",
        '""',
        " ",
        "a b",
        "a" * 256,
        '"' + "a" * 256 + '"',
        '"open',
        'a"' + "\x7f",
        "ключ",
        '"a\tb"',
        r'"a\b"',
    ],
    ids=[
        "empty",
        "empty quotes",
        "blank",
        "bare blank",
        "too long",
        "too long in quotes",
        "open quotes",
        "delete",
        "not ascii",
        "tab",
        "wrong escape",
    ],
)
def test_wrong_idempotency_key_is_refused(sent: str) -> None:
    """What is no key is refused, whether or not one is needed."""
    with pytest.raises(Malformed) as raised:
        headers.idempotency_key(sent, required=False)
    assert raised.value.errors[0].pointer == "Idempotency-Key"


def test_missing_idempotency_key() -> None:
    """A missing key is told as that, and only where one is needed."""
    assert headers.idempotency_key(None, required=False) is None
    with pytest.raises(KeyMissing):
        headers.idempotency_key(None, required=True)


@pytest.mark.parametrize(
    ("sent", "version"),
    [(None, None), ('"3"', 3), ("*", "*"), (' "12" ', 12), ('"0"', 0)],
    ids=["absent", "version", "any", "padded", "zero"],
)
def test_if_match_is_read(sent: str | None, version: int | str | None) -> None:
    """If-Match is one version as our ETags write it, or a star."""
    assert headers.if_match(sent) == version


@pytest.mark.parametrize(
    "sent", ["3", 'W/"3"', '"3", "4"', '"abc"', '"-1"', '"03"', "", '"', '"' + "9" * 19 + '"']
)
def test_wrong_if_match_is_refused(sent: str) -> None:
    """Whatever else stands in If-Match is refused, never ignored: a condition that is ignored is a lost
    update."""
    with pytest.raises(Malformed):
        headers.if_match(sent)


@pytest.mark.parametrize(
    ("sent", "known"),
    [(None, set()), ('"3"', {'"3"'}), ('W/"3"', {'"3"'}), ('"2", W/"3"', {'"2"', '"3"'}), (" * ", {"*"})],
)
def test_if_none_match(sent: str | None, known: set[str]) -> None:
    """If-None-Match compares weakly and may be a list (RFC 9110, 13.1.2)."""
    assert headers.none_match(sent) == known


@pytest.mark.parametrize("sent", ["3", '"3" "4"', ""])
def test_what_is_no_entity_tag_is_passed_over(sent: str) -> None:
    """If-None-Match that means nothing is as good as none: the caller gets the whole answer."""
    assert headers.none_match(sent) == frozenset()


@pytest.mark.parametrize(
    ("sent", "wait_s", "applied"),
    [
        (None, 5.0, None),
        ("wait=10", 10.0, "wait=10"),
        ("wait=99", 25.0, "wait=25"),
        ("wait=0", 0.0, "wait=0"),
        ("respond-async", 0.0, "respond-async"),
        ("respond-async, wait=7", 7.0, "wait=7"),
        ('WAIT="3"', 3.0, "wait=3"),
        ("return=minimal", 5.0, None),
        ("wait=soon", 5.0, None),
        ("wait=-1", 5.0, None),
        ("???", 5.0, None),
        ("wait=4, wait=9", 4.0, "wait=4"),
    ],
)
def test_prefer(sent: str | None, wait_s: float, applied: str | None) -> None:
    """Prefer is a wish: what it says is honoured within limits, what nobody understands is ignored (RFC
    7240)."""
    found = headers.preference(sent, default_s=5.0, most_s=25.0)
    assert (found.wait_s, found.applied) == (wait_s, applied)


GOOD = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.mark.parametrize(
    ("parent", "kept"),
    [
        (GOOD, True),
        (GOOD.upper(), False),
        (GOOD + "-more", False),
        ("01" + GOOD[2:] + "-more", True),
        ("ff" + GOOD[2:], False),
        ("00-" + "0" * 32 + GOOD[35:], False),
        (GOOD[:36] + "0" * 16 + "-01", False),
        ("garbage", False),
    ],
    ids=["good", "upper", "longer 00", "later version", "ff", "zero trace", "zero parent", "garbage"],
)
def test_traceparent(parent: str, kept: bool) -> None:
    """A trace context that is not well-formed is dropped with its state, as W3C Trace Context says."""
    found = headers.trace({b"traceparent": parent.encode(), b"tracestate": b"a=b"})
    assert found == ({"traceparent": parent, "tracestate": "a=b"} if kept else {})


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (b"abc", "abc"),
        (b"a" * 128, "a" * 128),
        (b"a" * 129, None),
        (b"a b", None),
        (b"", None),
        (b"a\r\nb", None),
    ],
    ids=["good", "longest", "too long", "blank", "empty", "line break"],
)
def test_request_id(sent: bytes, kept: str | None) -> None:
    """A request id that could not be written back safely is replaced by one of ours."""
    assert headers.request_id(sent) == kept


@pytest.mark.parametrize(
    "sent", ["application/json", "Application/JSON; charset=UTF-8", 'application/json;charset="utf-8"']
)
def test_json_is_taken(sent: str) -> None:
    """JSON in UTF-8, however it is spelled."""
    headers.media_type(sent, ("application/json",))


@pytest.mark.parametrize(
    "sent", [None, "", "text/plain", "application/json; charset=latin-1", "application/jsonx"]
)
def test_other_media_types_are_not(sent: str | None) -> None:
    """Anything else is refused before a byte of the body is read."""
    with pytest.raises(MediaTypeUnsupported):
        headers.media_type(sent, ("application/json",))
