"""What commands put on the screen."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from gateway.cli import screen


def test_text_of_an_erp_is_never_markup(capsys: pytest.CaptureFixture[str]) -> None:
    """Brackets in a customer's name are shown, not obeyed."""
    screen.put_table(("name",), [("[red]Rot & Söhne[/red]",)])
    assert "[red]Rot & Söhne[/red]" in capsys.readouterr().out


def test_a_pipe_gets_no_colour_and_whole_values(capsys: pytest.CaptureFixture[str]) -> None:
    """What is read by a program is not cut to the width of a terminal that is not there, and has no escapes."""
    value = "x" * 150
    screen.put_table(("verdict", "detail"), [("mismatch", value)])
    printed = capsys.readouterr().out
    assert value in printed
    assert "\x1b" not in printed


def test_json_keeps_decimals_exact(capsys: pytest.CaptureFixture[str]) -> None:
    """Money is a decimal string in JSON, too."""
    screen.put_json({"money": {"EUR": Decimal("9999999999.99")}})
    assert json.loads(capsys.readouterr().out) == {"money": {"EUR": "9999999999.99"}}


@pytest.mark.parametrize(("value", "shown"), [(None, "–"), (True, "yes"), (False, "no"), (0, "0"), ("", "")])
def test_absent_false_and_zero_look_different(value: object, shown: str) -> None:
    """Nothing, no and none at all are three things."""
    assert screen.cell(value).plain == shown
