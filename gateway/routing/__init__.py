"""Says for each slice, (entity, region), which system answers and which is kept beside it. Pure.

Words: a *stage* is where a slice is on its way from ``legacy`` to ``cloud``; its *plan* is the row of the
stage table; a *rule* sets the stage of a slice. *authority* and *mirror* are roles, ``legacy`` and ``cloud``
systems.

The table (``PLANS``), and nothing else, decides:

    stage        reads answered by  compared read  writes go first to  and then, durably, to
    legacy_only  legacy             –              legacy              –
    dual_write   legacy             –              legacy              cloud
    shadow       legacy             cloud          legacy              cloud
    live         cloud              legacy         cloud               legacy
    ramp_down    cloud              –              cloud               legacy
    cloud_only   cloud              –              cloud               –

Laws: an authority is never its own mirror or shadow; a shadow read implies a mirror; authority moves once,
between shadow and live; with the systems swapped and read backwards it is the same table. A gap or an overlap
in the rule files stops the start. A region may be narrowed by cohorts, whose slices are slices like any other: see
``cohort``.
"""

from __future__ import annotations

from gateway.routing.cohort import Cohort, Cohorts
from gateway.routing.plan import PLANS, Plan
from gateway.routing.ruleset import (
    Change,
    LegalEntity,
    Region,
    Rule,
    Ruleset,
    Slice,
    difference,
    export,
    load,
    read,
)
from gateway.routing.stage import Stage, System
from gateway.routing.transition import (
    DEPENDS_ON,
    GATES,
    TRANSITIONS,
    GateFailure,
    Move,
    Violation,
    gates,
    judge,
    moves_authority,
    new_violations,
    violations,
)

__all__ = [
    "DEPENDS_ON",
    "GATES",
    "PLANS",
    "TRANSITIONS",
    "Change",
    "Cohort",
    "Cohorts",
    "GateFailure",
    "LegalEntity",
    "Move",
    "Plan",
    "Region",
    "Rule",
    "Ruleset",
    "Slice",
    "Stage",
    "System",
    "Violation",
    "difference",
    "export",
    "gates",
    "judge",
    "load",
    "moves_authority",
    "new_violations",
    "read",
    "violations",
]
