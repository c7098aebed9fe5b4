"""What both faces, the API and the console, ask of the rest of the gateway; the composition root passes it in.

What only one of them asks stands in its own room. Moments are microseconds UTC; ``regions`` and ``entities`` of None
mean all.
"""

from gateway.ports.evidence import DiffsPort, JourneyPort, ReconcilerPort, WaiversPort
from gateway.ports.switching import (
    GuardsPort,
    ReadinessPort,
    SchedulePort,
    SimulationPort,
    SlicesPort,
    SwitchesPort,
    SwitchoverPort,
)
from gateway.ports.work import BackfillerPort, CasesPort, FeedsPort, MergingPort, RepairerPort, ReplaysPort

__all__ = [
    "BackfillerPort",
    "CasesPort",
    "DiffsPort",
    "FeedsPort",
    "GuardsPort",
    "JourneyPort",
    "MergingPort",
    "ReadinessPort",
    "ReconcilerPort",
    "RepairerPort",
    "ReplaysPort",
    "SchedulePort",
    "SimulationPort",
    "SlicesPort",
    "SwitchesPort",
    "SwitchoverPort",
    "WaiversPort",
]
