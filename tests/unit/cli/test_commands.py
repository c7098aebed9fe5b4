"""The tree of commands."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys

import pytest

from gateway.cli.commands import NOUNS, VERBS, run

COMMANDS = {name: where for name, (where, _) in VERBS.items()} | {
    f"{noun} {name}": where for noun, (_, verbs) in NOUNS.items() for name, (where, _) in verbs.items()
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_leads_to_a_function_that_explains_itself(command: str) -> None:
    """Commands are imported by name when they are called, so a name that leads nowhere would be found by a user."""
    module, _, name = COMMANDS[command].partition(":")
    function = getattr(importlib.import_module(module), name)
    assert inspect.getdoc(function)
    assert "json" in inspect.signature(function).parameters


def test_help_imports_neither_framework_nor_database() -> None:
    """Help is there at once: nothing heavy is loaded to print it."""
    heavy = "litestar", "sqlalchemy", "alembic", "aiohttp", "httpx", "uvicorn", "gateway.app"
    script = (
        "import sys\n"
        "from gateway.cli.commands import run\n"
        "code = run(['--help']) or run(['rules', '--help'])\n"
        f"print('loaded', [name for name in {heavy!r} if name in sys.modules], code)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout.rstrip().endswith("loaded [] 0")


BAD_INPUT = [
    pytest.param(["nonsense"], "no command 'nonsense'", id="unknown command"),
    pytest.param(["rules", "nonsense"], "no command 'nonsense'", id="unknown verb"),
    pytest.param(["rules", "set", "customer"], "REGION", id="missing argument"),
    pytest.param(["rules", "show", "--colour"], "--colour", id="unknown option"),
    pytest.param(
        ["rules", "set", "customer", "DACH", "shadow", "--reason", " "], "--reason", id="empty reason"
    ),
    pytest.param(
        ["rules", "set", "customer", "DACH", "later", "--reason", "x"], "legacy_only", id="unknown stage"
    ),
    pytest.param(["rules", "apply", "--reason", ""], "--reason", id="no reason to apply"),
    pytest.param(["keys", "create", "x", "--scopes", "admin"], "admin:read", id="unknown scope"),
    pytest.param(["keys", "create", "x", "--entities", "timesheet"], "time_entry", id="unknown entity"),
    pytest.param(["diffs", "--verdict", "wrong"], "mismatch", id="unknown verdict"),
    pytest.param(["diffs", "--since", "yesterday"], "2026-11-23", id="no moment"),
    pytest.param(["diffs", "--limit", "0"], "1 to 10000", id="no findings at all"),
    pytest.param(["cases", "--kind", "odd"], "parked_delivery", id="unknown kind of case"),
    pytest.param(["cases", "--older-than", "-1"], "hours, 0 or more", id="no age"),
    pytest.param(["cases", "nonsense"], "no command 'nonsense'", id="unknown verb of cases"),
    pytest.param(["cases", "resolve", "cas_1", "--as", "pray", "--reason", "x"], "replay", id="no decision"),
    pytest.param(["cases", "resolve", "cas_1", "--as", "replay"], "--reason", id="no reason to decide"),
    pytest.param(
        ["cases", "resolve", "cas_1", "--as", "accept_divergence", "--reason", "x", "--until", "soon"],
        "--until",
        id="no end",
    ),
    pytest.param(["adapters", "check", "nope"], "sandbox_legacy", id="unknown profile"),
    pytest.param(["sandbox", "--scale", "huge"], "small", id="unknown scale"),
    pytest.param(["serve", "--port", "70000"], "65535", id="no port"),
    pytest.param(["demo", "--scale", "0"], "0.05", id="no firm to plant in"),
]


@pytest.mark.parametrize(("arguments", "named"), BAD_INPUT)
def test_bad_input_is_one_line_with_what_is_allowed(
    arguments: list[str], named: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 2, one line on standard error, nothing on standard output, and the line helps."""
    monkeypatch.delenv("TWINRUN_CONFIG", raising=False)
    assert run(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("twinrun: ")
    assert printed.err.count("\n") == 1
    assert named in printed.err


def test_a_wrong_setting_stops_every_command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The path of the key, what was found and where."""
    monkeypatch.setenv("TWINRUN_PORT", "eighty")
    assert run(["rules", "show"]) == 2
    assert "$.port" in capsys.readouterr().err


def test_an_interrupted_command_says_so(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C ends with 130 and without a traceback."""

    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("gateway.cli.adapters.names", interrupted)
    assert run(["adapters", "list"]) == 130
    assert capsys.readouterr().err == "interrupted\n"
