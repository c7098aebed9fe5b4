"""Habits that no linter knows, held over the syntax tree of every file of the program."""

from __future__ import annotations

import ast
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house.tree import ROOT, program, shown

#: Where time and chance come from: everything else asks the ports, so that tests own both.
PORTS = {"gateway/clock.py", "gateway/ids.py"}
#: file -> what it may use all the same, and why.
EXEMPT: dict[str, tuple[set[str], str]] = {
    "gateway/http/serve.py": ({"time.perf_counter"}, "measures what a request took, for a histogram; decides nothing"),
    "gateway/access/keys.py": ({"secrets.choice", "secrets.token_urlsafe"}, "keys are secrets; a test never needs one"),
    "gateway/access/instance.py": ({"secrets.token_bytes"}, "the signing secret of a new journal"),
    "gateway/console/session.py": ({"secrets.token_urlsafe"}, "the session's nonce is a secret"),
    "gateway/database/group.py": ({"asyncio.sleep"}, "gives up its turn once (0 s), so that a batch can fill"),
    "gateway/proof/pair.py": ({"asyncio.sleep"}, "gives up its turn (0 s) between fields, so that callers are served"),
}
#: The demo is a client: it meets the program from outside, in real time, and makes its own traffic.
CLIENT = "gateway/cli/demo/"
TIME_AND_CHANCE = {
    "time.time", "time.time_ns", "time.monotonic", "time.monotonic_ns", "time.perf_counter", "time.sleep",
    "datetime.datetime.now", "datetime.datetime.utcnow", "datetime.datetime.today", "datetime.date.today",
    "asyncio.sleep", "os.urandom",
}  # fmt: skip
ROOMS_OF_CHANCE = ("random.", "uuid.", "uuid_utils.", "secrets.")


def _names(tree: ast.Module) -> dict[str, str]:
    """Local name -> what was imported under it, in full."""
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for one in node.names:
                top = one.name.partition(".")[0]
                found[one.asname or top] = one.name if one.asname else top
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.update({(one.asname or one.name): f"{node.module}.{one.name}" for one in node.names})
    return found


def used(source: str) -> set[str]:
    """What of time and chance this code calls or hands on, in full: ``time.sleep``, ``uuid.uuid4`` …"""
    tree = ast.parse(source)
    names = _names(tree)
    found: set[str] = set()
    for node in ast.walk(tree):
        parts: list[str] = []
        here: ast.AST = node
        while isinstance(here, ast.Attribute):
            parts.append(here.attr)
            here = here.value
        if isinstance(here, ast.Name) and here.id in names:
            full = ".".join([names[here.id], *reversed(parts)])
            if full in TIME_AND_CHANCE or full.startswith(ROOMS_OF_CHANCE):
                found.add(full)
    return found


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        pytest.param("import time\ntime.sleep(1)", {"time.sleep"}, id="module"),
        pytest.param("from time import sleep as nap\nnap(1)", {"time.sleep"}, id="renamed"),
        pytest.param("from datetime import datetime\ndatetime.now()", {"datetime.datetime.now"}, id="class"),
        pytest.param("import datetime as d\nd.date.today()", {"datetime.date.today"}, id="module renamed"),
        pytest.param("from uuid import uuid4\nf(default=uuid4)", {"uuid.uuid4"}, id="handed on"),
        pytest.param("import random\nx = random.Random(7)", {"random.Random"}, id="chance"),
        pytest.param("clock.sleep(1)\nself.clock.now()", set(), id="the port"),
        pytest.param("from datetime import datetime\ndatetime.fromisoformat('')", set(), id="pure"),
    ],
)
def test_what_counts_as_time_or_chance(source: str, expected: set[str]) -> None:
    """Every way to name the machine's clock or its dice is seen; the ports and pure functions are not."""
    assert used(source) == expected


def test_time_and_chance_come_through_their_ports() -> None:
    """No room asks the machine's clock, sleeps or rolls dice by itself; each exception has a reason and is in use."""
    wrong: dict[str, set[str]] = {}
    for path in program("gateway"):
        name = shown(path)
        if name in PORTS or name.startswith(CLIENT):
            continue
        rest = used(path.read_text("utf-8")) - EXEMPT.get(name, (set(), ""))[0]
        if rest:
            wrong[name] = rest
    assert wrong == {}
    idle = {name for name, (allowed, _) in EXEMPT.items() if not allowed <= used((ROOT / name).read_text("utf-8"))}
    assert idle == set(), "these exceptions are no longer needed"


def swallowed(path: Path, source: str) -> Iterator[str]:
    """Handlers that do nothing with what they catch, and say nothing about it."""
    lines = source.splitlines(keepends=True)
    read = iter(lines)
    comments = {
        token.start[0]
        for token in tokenize.generate_tokens(lambda: next(read, ""))
        if token.type == tokenize.COMMENT and not re.match(r"#\s*(noqa|type:|pyright:)[^-]*$", token.string)
    }
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.ExceptHandler) or len(node.body) != 1:
            continue
        only = node.body[0]
        idle = isinstance(only, ast.Pass | ast.Continue) or (
            isinstance(only, ast.Expr) and isinstance(only.value, ast.Constant)
        )
        last = only.end_lineno or only.lineno
        if idle and not comments & set(range(node.lineno, last + 1)):
            yield f"{shown(path)}:{node.lineno}"


@pytest.mark.parametrize(
    ("source", "count"),
    [
        pytest.param("try:\n    f()\nexcept OSError:\n    pass\n", 1, id="silent"),
        pytest.param("try:\n    f()\nexcept OSError:  # noqa: BLE001\n    pass\n", 1, id="a noqa is no reason"),
        pytest.param("try:\n    f()\nexcept OSError:\n    # The file may be gone.\n    pass\n", 0, id="reason"),
        pytest.param("try:\n    f()\nexcept OSError:  # noqa: BLE001 - told below\n    pass\n", 0, id="reason beside"),
        pytest.param("for x in y:\n    try:\n        f()\n    except OSError:\n        continue\n", 1, id="continue"),
        pytest.param("try:\n    f()\nexcept OSError:\n    g()\n", 0, id="handled"),
    ],
)
def test_what_counts_as_swallowed(source: str, count: int) -> None:
    """A handler that does nothing needs a sentence that says why; switching a linter off is none."""
    assert len(list(swallowed(ROOT / "example.py", source))) == count


def test_no_error_is_swallowed_without_a_word() -> None:
    """Every handler that does nothing says why that is right."""
    wrong = [
        place
        for folder in ("gateway", "adapters", "docker", "tests")
        for path in program(folder)
        for place in swallowed(path, path.read_text("utf-8"))
    ]
    assert wrong == []


def test_every_room_says_what_it_is_for() -> None:
    """Each module of the program begins with a docstring; a package's is the room's design note."""
    wrong = [
        shown(path)
        for folder in ("gateway", "adapters")
        for path in program(folder)
        if not ast.get_docstring(ast.parse(path.read_text("utf-8")))
    ]
    assert wrong == []


def test_every_test_states_its_law() -> None:
    """Each test function has a docstring that says what must hold."""
    wrong = [
        f"{shown(path)}::{node.name}"
        for path in program("tests")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
        and not ast.get_docstring(node)
    ]
    assert wrong == []


def test_no_python_file_names_a_product() -> None:
    """Products are profiles: no file of the program names one."""
    names = re.compile(
        r"\b(tryton|odoo|netsuite|workday|dynamics|xero|sage|s/?4 ?hana|business central)\b", re.IGNORECASE
    )
    wrong = [
        f"{shown(path)}:{number}"
        for folder in ("gateway", "adapters")
        for path in program(folder)
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if names.search(line)
    ]
    assert wrong == []


def test_no_file_is_two_things() -> None:
    """No Python file is longer than 400 lines, migrations aside."""
    wrong = {
        shown(path): length
        for folder in ("gateway", "adapters")
        for path in program(folder)
        if "migrations" not in path.parts and (length := len(path.read_text("utf-8").splitlines())) > 400
    }
    assert wrong == {}
