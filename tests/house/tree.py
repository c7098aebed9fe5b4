"""The files of this checkout."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def program(folder: str) -> list[Path]:
    """The Python files of one top folder, without what is vendored or cached."""
    return sorted(
        path
        for path in (ROOT / folder).rglob("*.py")
        if not {"vendor", ".cache", "__pycache__"} & set(path.relative_to(ROOT).parts)
    )


def shown(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def tracked() -> list[Path]:
    """What git keeps. Outside a git checkout there is nothing to ask."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]
