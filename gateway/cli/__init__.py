"""The command line: one file per noun, each imported only when it is called.

Words. *Screen*: where a command puts what it found, as tables for people or as one JSON document. *Exit code*:
0 pass, 1 the two systems differ or something is not ready, 2 bad input or settings, 3 inconclusive or the
environment does not answer, 130 interrupted.

Laws. A command does what the HTTP face does, through the same functions. What a person did wrong is told in one line
that names the place and the remedy, never as a traceback. Results go to standard output; progress and remarks go to
standard error, and progress only where that is a terminal. ``--help`` imports neither the web framework nor the
database.
"""

from __future__ import annotations

from gateway.cli.commands import main

__all__ = ["main"]
