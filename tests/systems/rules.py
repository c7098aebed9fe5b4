"""Rule files for tests: the packaged ones with the slices at other stages."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tests.systems.processes import ROOT

PACKAGED = ROOT / "routing_rules"


def staged(folder: Path, stage: str = "dual_write", *, stages: Mapping[str, str] | None = None) -> Path:
    """A folder of rules in ``folder``, with every slice that is in legacy_only there at ``stage``, or at that of
    ``stages`` for its entity. dual_write is the first that has a mirror."""
    made = folder / "rules"
    made.mkdir(exist_ok=True)
    for file in PACKAGED.glob("*.toml"):
        own = (stages or {}).get(file.stem, stage)
        text = file.read_text("utf-8").replace('"legacy_only"', f'"{own}"')
        (made / file.name).write_text(text, "utf-8")
    return made
