"""How an error ends a command."""

from __future__ import annotations

import pytest

from adapters.errors import Misconfigured, Unavailable
from gateway import errors
from gateway.cli import codes
from gateway.errors import FieldError

ENDINGS = [
    pytest.param(errors.SettingWrong("$.port is 'x'"), codes.WRONG, id="a wrong setting"),
    pytest.param(errors.RuleFileWrong("customer.toml: is missing"), codes.WRONG, id="a wrong rule file"),
    pytest.param(errors.Malformed("--limit 0"), codes.WRONG, id="bad input"),
    pytest.param(errors.RecordNotFound(), codes.WRONG, id="no such record"),
    pytest.param(Misconfigured("no profile 'x'"), codes.WRONG, id="no such profile"),
    pytest.param(errors.RuleRefused("3 deliveries"), codes.DIFFER, id="a gate stands against it"),
    pytest.param(errors.RuleVersionMoved("at 4, not 3"), codes.DIFFER, id="somebody else was first"),
    pytest.param(errors.StoreUnavailable("refused"), codes.UNSURE, id="no database"),
    pytest.param(Unavailable("no route"), codes.UNSURE, id="no system"),
    pytest.param(OSError(98, "Address already in use"), codes.UNSURE, id="a port in use"),
    pytest.param(ModuleNotFoundError("x", name="asyncpg"), codes.WRONG, id="an extra that is not installed"),
]


@pytest.mark.parametrize(("raised", "code"), ENDINGS)
def test_an_error_ends_with_its_code_and_one_line(raised: BaseException, code: int) -> None:
    """Whatever a person can cause ends with a code of the contract, and is told in one line."""
    ending = codes.of(raised)
    assert ending is not None
    assert ending.code == code
    assert ending.line
    assert "\n" not in ending.line


@pytest.mark.parametrize(
    "raised", [KeyError("x"), ZeroDivisionError(), ModuleNotFoundError("x", name="gatewy")]
)
def test_a_fault_of_the_program_is_not_told_as_the_users(raised: BaseException) -> None:
    """A bug keeps its traceback: it must never look like a wrong setting."""
    assert codes.of(raised) is None


def test_a_line_names_each_place_once() -> None:
    """Field errors join the line, unless it says the same already."""
    raised = errors.RuleRefused(
        "2 deliveries are under way",
        errors=[
            FieldError(pointer="/stage", code="open_deliveries", message="2 deliveries are under way"),
            FieldError(pointer="/stage", code="dependency", message="move customer to live first"),
        ],
    )
    assert codes.told(raised) == "2 deliveries are under way; /stage move customer to live first"


def test_a_missing_extra_says_how_to_get_it() -> None:
    """The remedy is in the line."""
    ending = codes.of(ModuleNotFoundError("No module named 'asyncpg'", name="asyncpg"))
    assert ending is not None
    assert "twinrun[postgres]" in ending.line
