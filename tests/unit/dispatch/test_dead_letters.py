"""What makes two refusals one cause."""

from __future__ import annotations

import pytest

from gateway.dispatch.dead_letters import cause_of, plain


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        pytest.param(
            "name 'Harbour 12' is longer than 40", "name … is longer than …", id="quoted and number"
        ),
        pytest.param("no period for 2026-03-31", "no period for …", id="day"),
        pytest.param("VAT id DE123456 is missing", "VAT id … is missing", id="code with digits"),
        pytest.param("customer cus_0198f0c2-5b7e is closed", "customer … is closed", id="our id"),
        pytest.param("row 0a1b2c3d-0000-1111-2222-0123456789ab", "row …", id="uuid"),
        pytest.param("3 hours\n over ", "… hours over", id="one digit, blanks"),
        pytest.param("the account is closed", "the account is closed", id="no particulars"),
        pytest.param(None, "", id="nothing said"),
    ],
)
def test_particulars_are_left_out(message: str | None, expected: str) -> None:
    """Names, numbers and ids are what letters of one cause differ in; words are what they share."""
    assert plain(message) == expected


def test_one_cause() -> None:
    """The same words with the same code to the same role; anything else is another cause."""
    one = cause_of("mirror", "VAT", "VAT id DE1 is missing")
    assert one == cause_of("mirror", "VAT", "VAT id DE2 is missing")
    others = {
        cause_of("authority", "VAT", "VAT id DE1 is missing"),
        cause_of("mirror", None, "VAT id DE1 is missing"),
        cause_of("mirror", "VAT", "VAT id DE1 is wrong"),
        cause_of("mirror", "VAT", None),
    }
    assert len(others | {one}) == 5
    assert one.isascii()
    assert len(one) == 12
