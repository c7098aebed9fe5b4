"""One line of a table that a spreadsheet opens."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence

#: Text that a spreadsheet would run as a formula. Plain numbers begin with a sign, too, and stay numbers.
_FORMULA = re.compile(r"^[=+\-@\t\r](?!\d+(\.\d+)?$)")


def line(cells: Sequence[str]) -> str:
    """The cells as a line of CSV (RFC 4180); none of them can become a formula."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerow(
        ["'" + cell if _FORMULA.match(cell) else cell for cell in cells]
    )
    return out.getvalue()
