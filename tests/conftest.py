"""What all tests share: the fixtures of real systems, and how drawn examples are judged."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# How long an example takes is the machine's matter and no law of ours.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

pytest_plugins = ["tests.systems.plugin"]
