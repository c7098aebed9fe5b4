"""Exit codes, and which of them an error ends with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from adapters.errors import AdapterError, Misconfigured
from gateway import errors
from gateway.errors import GatewayError

PASS = 0
DIFFER = 1  #: the systems differ, or something is not ready
WRONG = 2  #: bad input or settings
UNSURE = 3  #: too little evidence, or the environment does not answer
INTERRUPTED = 130


class Ending(NamedTuple):
    code: int
    line: str


#: The first class that fits decides.
ENDINGS: tuple[tuple[type[BaseException], int], ...] = (
    (errors.RuleRefused, DIFFER),
    (errors.MergeRefused, DIFFER),
    (errors.RuleVersionMoved, DIFFER),
    (errors.StoreUnavailable, UNSURE),
    (errors.SystemUnavailable, UNSURE),
    (errors.SystemUnreadable, UNSURE),
    (errors.NotAccepted, UNSURE),
    (GatewayError, WRONG),
    (Misconfigured, WRONG),
    (AdapterError, UNSURE),
    (OSError, UNSURE),
)


#: Packages that only some installations need -> the extra that brings them.
EXTRAS: Mapping[str, str] = {"asyncpg": "postgres", "redis": "redis"}


def of(raised: BaseException) -> Ending | None:
    """How ``raised`` ends the program, or None for a fault of the program itself."""
    if isinstance(raised, ModuleNotFoundError) and (extra := EXTRAS.get(raised.name or "")):
        return Ending(WRONG, f"the settings need {raised.name}: pip install 'twinrun[{extra}]'")
    for kind, code in ENDINGS:
        if isinstance(raised, kind):
            return Ending(code, told(raised))
    return None


def told(raised: BaseException) -> str:
    """The error in one line, with each place that it names."""
    if isinstance(raised, GatewayError):
        # The particular fact says more than its kind; the kind speaks where there is none.
        line = raised.detail or raised.title()
        places = [f"{one.pointer} {one.message}" for one in raised.errors if one.message not in line]
        line = "; ".join([line, *places])
    elif isinstance(raised, OSError):
        said = raised.strerror or str(raised)
        line = f"{raised.filename}: {said}" if raised.filename else said
    else:
        line = str(raised)
    return " ".join(line.split())
