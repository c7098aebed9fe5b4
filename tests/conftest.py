"""What all tests share: the fixtures of real systems."""

from __future__ import annotations

pytest_plugins = ["tests.systems.plugin"]
