"""``python -m gateway.cli``: the same program where it is not installed as a command."""

from __future__ import annotations

import sys

from gateway.cli.commands import main

if __name__ == "__main__":
    sys.exit(main())
