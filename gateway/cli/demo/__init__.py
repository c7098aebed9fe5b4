"""The whole idea in one minute: two simulated ERPs, a gateway as a process of its own, live traffic, and one slice
that goes there and back.

Words. A *story* is what one upstream client does with one record, from its creation on. A *plant* is a difference
that the demo puts into an ERP behind everyone's back, and that comparing has to find. *Catching up* writes once more,
through ``/v1``, what was written while a slice had no mirror, so that the ledger carries it over. An *expectation*
is something that must hold at the end.

Laws. The demo knows the gateway only from outside: by its HTTP face and by what the ERPs themselves say they did. It
waits for states with a deadline, and never for time to pass. What it promises, it has counted: exit code 0 means that
every expectation held.
"""

from __future__ import annotations

from gateway.cli.demo.command import demo

__all__ = ["demo"]
