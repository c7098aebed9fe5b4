"""The systems of the settings, each as an open adapter."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from adapters.build import open_adapter
from adapters.contract import Adapter
from adapters.door import Door
from adapters.errors import Misconfigured
from adapters.profile import Limits
from adapters.profile import load as load_profile
from gateway.errors import SettingWrong
from gateway.settings import Settings


def open_systems(settings: Settings, door: Callable[[str, Limits], Door] | None = None) -> dict[str, Adapter]:
    """The adapters of the systems in the settings, each behind its ``door`` (None: one that keeps the profile's
    limits). Raises SettingWrong for a profile or address that is wrong."""
    opened: dict[str, Adapter] = {}
    for name, system in settings.systems.items():
        try:
            profile = load_profile(system.profile)
            limits = msgspec.structs.replace(
                profile.limits,
                timeout_s=system.timeout_s or profile.limits.timeout_s,
                concurrency=system.concurrency or profile.limits.concurrency,
            )
            opened[name] = open_adapter(
                name,
                msgspec.structs.replace(profile, limits=limits),
                system.base_url,
                system.auth,
                system.options,
                door=None if door is None else door(name, limits),
            )
        except Misconfigured as wrong:
            raise SettingWrong(f"systems.{name}: {wrong.message}") from wrong
    return opened


def timeout_s(settings: Settings, name: str) -> float:
    """How long one call to a system may take, in seconds."""
    system = settings.systems[name]
    return system.timeout_s or load_profile(system.profile).limits.timeout_s
