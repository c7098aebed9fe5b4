"""Signatures of webhooks, held against the library of the standard itself."""

from __future__ import annotations

from base64 import b64encode
from contextlib import suppress
from datetime import UTC, datetime
from json import JSONDecodeError

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from gateway.access.webhooks import MOST_SIGNATURES, is_signed, secrets_of, signature

ONE, OTHER = b"1" * 24, b"2" * 32
STAMP = str(int(datetime.now(UTC).timestamp()))


def _written(secret: bytes) -> str:
    return "whsec_" + b64encode(secret).decode()


@given(body=st.text(max_size=200), id_=st.text("abcdefXYZ0189_-.", min_size=1, max_size=40))
def test_the_library_of_the_standard_agrees(body: str, id_: str) -> None:
    """What it signs is signed here, and what is signed here it verifies."""
    library = Webhook(_written(ONE))
    # It takes no message that is minutes old, so this one is from now and not from when the tests began.
    now = datetime.now(UTC)
    stamp = str(int(now.timestamp()))
    theirs = library.sign(id_, now, body)
    assert theirs == signature(ONE, id_, stamp, body.encode())
    assert is_signed([ONE], id_, stamp, body.encode(), theirs)
    headers = {"webhook-id": id_, "webhook-timestamp": stamp, "webhook-signature": theirs}
    # It reads the body as JSON once the signature holds.
    with suppress(JSONDecodeError):
        library.verify(body, headers)


@pytest.mark.parametrize(
    ("id_", "stamp", "body"),
    [("msg_2", STAMP, b"{}"), ("msg_1", "1", b"{}"), ("msg_1", STAMP, b"{ }"), ("msg_1", STAMP, b"")],
    ids=["another id", "another time", "another body", "no body"],
)
def test_each_part_is_signed(id_: str, stamp: str, body: bytes) -> None:
    """A signature holds for the id, the time and the bytes that it was made of, and for nothing else."""
    made = signature(ONE, "msg_1", STAMP, b"{}")
    assert is_signed([ONE], "msg_1", STAMP, b"{}", made)
    assert not is_signed([ONE], id_, stamp, body, made)


def test_two_secrets_while_one_is_changed() -> None:
    """Either of two secrets counts, and any of several signatures may be the one that fits; a third party's never."""
    by_other = signature(OTHER, "msg_1", STAMP, b"{}")
    by_third = signature(b"3" * 24, "msg_1", STAMP, b"{}")
    assert is_signed([ONE, OTHER], "msg_1", STAMP, b"{}", by_other)
    assert is_signed([OTHER], "msg_1", STAMP, b"{}", f"{by_third} v1a,x {by_other}")
    assert not is_signed([ONE, OTHER], "msg_1", STAMP, b"{}", by_third)
    many = " ".join([by_third] * MOST_SIGNATURES)
    assert not is_signed([OTHER], "msg_1", STAMP, b"{}", f"{many} {by_other}")


@pytest.mark.parametrize("header", ["", "v1", "v1,", "v2," + "A" * 44, "v1,é", "v1," + "A" * 5000], ids=repr)
def test_what_is_no_signature(header: str) -> None:
    """Nonsense in the header is a signature that does not hold, and no fault."""
    assert not is_signed([ONE], "msg_1", STAMP, b"{}", header)


def test_secrets_as_they_are_written() -> None:
    """With the standard's prefix or without, one or two, by a space or a line break."""
    assert secrets_of(_written(ONE)) == (ONE,)
    assert secrets_of(f"{b64encode(ONE).decode()}\n{_written(OTHER)}\n") == (ONE, OTHER)


@pytest.mark.parametrize(
    "text",
    ["", "whsec_not base64!", _written(b"short"), _written(b"x" * 65), " ".join([_written(ONE)] * 3), "whsec_"],
    ids=["none", "not base64", "short", "long", "three", "empty"],
)
def test_a_secret_that_cannot_be_one(text: str) -> None:
    """It is refused, and never repeated in the refusal."""
    with pytest.raises(ValueError, match="secret") as refused:
        secrets_of(text)
    assert not any(word in str(refused.value) for word in text.split() if len(word) > 8)
