"""The tables of the README, made from the code: ``python -m tests.house.tables`` writes them into it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import msgspec

import gateway.settings
from adapters.profile import load
from gateway.routing.plan import PLANS
from gateway.settings import Settings, SourceSettings, SystemSettings
from tests.house.tree import ROOT

README = ROOT / "README.md"
#: Keys of the settings that are tables of named things.
NESTED = {"systems": SystemSettings, "sources": SourceSettings}


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def stages() -> str:
    """The stage table as PLANS has it."""
    return _table(
        ("stage", "reads answered by", "compared read", "writes go first to", "and then, durably, to"),
        [
            (f"`{stage}`", plan.authority, plan.shadow_read or "–", plan.authority, plan.mirror or "–")
            for stage, plan in PLANS.items()
        ],
    )


def remarks(name: str) -> dict[str, str]:
    """Key -> the ``#:`` remark beside it, in one Struct of the settings."""
    source = Path(gateway.settings.__file__).read_text("utf-8")
    lines = source.splitlines()
    owner = next(
        node for node in ast.parse(source).body if isinstance(node, ast.ClassDef) and node.name == name
    )
    found: dict[str, str] = {}
    for node in owner.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            _, _, remark = lines[(node.end_lineno or node.lineno) - 1].partition("#:")
            found[node.target.id] = remark.strip().replace("``", "`").replace("None:", "none:")
    return found


def settings() -> str:
    """Every key of the settings with its default and its remark."""
    rows: list[tuple[str, ...]] = []
    told = remarks("Settings")
    for field in msgspec.structs.fields(Settings):
        if field.name in NESTED:
            owner = NESTED[field.name]
            inner = remarks(owner.__name__)
            rows.extend(
                (f"`{field.name}.<name>.{one.name}`", _default(one), inner[one.name])
                for one in msgspec.structs.fields(owner)
            )
        else:
            rows.append((f"`{field.name}`", _default(field), told[field.name]))
    return _table(("key", "default", "meaning"), rows)


def _default(field: msgspec.structs.FieldInfo) -> str:
    if field.required:
        return "required"
    value = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
    return "–" if value is None or value == {} else f"`{value}`"


def profiles() -> str:
    """Every profile that ships, with its protocol and the best evidence for its facts."""
    shipped = [load(path.stem) for path in sorted((ROOT / "adapters" / "profiles").glob("*.toml"))]
    return _table(
        ("profile", "protocol", "grade", "entities"),
        [
            (f"`{path.stem}`", profile.protocol, profile.grade, str(len(profile.entities)))
            for path, profile in zip(
                sorted((ROOT / "adapters" / "profiles").glob("*.toml")), shipped, strict=True
            )
        ],
    )


TABLES = {"stages": stages, "profiles": profiles, "settings": settings}


def written(readme: str) -> str:
    """The README with each table as the code has it; a table is known by its heading row."""
    for make in TABLES.values():
        table = make()
        head = table.partition("\n")[0]
        readme = re.sub(re.escape(head) + r"\n(\|.*\n)*", lambda _, table=table: table, readme)
    return readme


if __name__ == "__main__":
    README.write_text(written(README.read_text("utf-8")), "utf-8")
