"""Reports as a table for a spreadsheet, as a workbook, as a page for a browser and a printer, and as a PDF: the same
figures."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from io import BytesIO
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from gateway import spreadsheet
from gateway.readiness.gates import Gate, Outcome
from gateway.readiness.report import Report

COLUMNS = (
    "entity", "region", "stage", "next", "authority", "version", "verdict", "gate", "gate_verdict", "measure",
    "threshold", "sample", "least", "window", "details", "way_back", "evidence_hash", "at", "signed",
)  # fmt: skip

#: The kind of media of a workbook.
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"

_TITLE = "Readiness"


def table(reports: Sequence[Report]) -> str:
    """CSV (RFC 4180), a line a gate."""
    return spreadsheet.line(COLUMNS) + "".join(
        spreadsheet.line(_row(report, gate)) for report in reports for gate in report.gates
    )


def workbook(reports: Sequence[Report]) -> bytes:
    """XLSX with the lines of the CSV. Every cell is text or a whole number, and never a formula."""
    from xlsxwriter import Workbook  # pyright: ignore[reportMissingTypeStubs]

    made = BytesIO()
    book = Workbook(made, {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False})
    grid = book.add_worksheet(_TITLE)  # pyright: ignore[reportUnknownMemberType]
    bold = book.add_format({"bold": True})  # pyright: ignore[reportUnknownMemberType]
    lines = [(report, gate) for report in reports for gate in report.gates]
    for column, name in enumerate(COLUMNS):
        grid.write_string(0, column, name, bold)
        for row, (report, gate) in enumerate(lines, start=1):
            number = {"version": report.version, "sample": gate.sample, "least": gate.least}.get(name)
            if number is not None:
                grid.write_number(row, column, number)
            else:
                grid.write_string(row, column, _row(report, gate)[column])
    grid.freeze_panes(1, 0)
    grid.autofilter(0, 0, max(len(lines), 1), len(COLUMNS) - 1)
    grid.autofit(480)
    book.close()
    return made.getvalue()


def page(reports: Sequence[Report]) -> str:
    """HTML that stands alone: no script, nothing from another host, light, dark and printable."""
    return _template().render(reports=reports, title=_TITLE, way_back=_way_back, blocks=_blocks, signed=signed)


def printed(reports: Sequence[Report]) -> bytes:
    """A PDF, a slice after the other."""
    # It brings an imaging library along, which nothing else of this program needs.
    from fpdf import FPDF
    from fpdf.enums import XPos, YPos

    sheet = FPDF(format="A4", orientation="landscape")
    sheet.set_auto_page_break(auto=True, margin=14)
    sheet.set_title(_TITLE)
    for report in reports:
        sheet.add_page()
        sheet.set_font("Helvetica", "B", 15)
        title = f"{report.entity} in {report.region}: {report.verdict.value}"
        sheet.cell(0, 9, _latin(title), new_x=XPos.LMARGIN, new_y=YPos.NEXT)
        sheet.set_font("Helvetica", size=9)
        said = (
            f"At {report.stage.value}, next {'none' if report.next is None else report.next.value}. "
            f"Authority {report.authority}, rule version {report.version}. {report.at}. "
            f"Way back: {_way_back(report)}."
        )
        sheet.multi_cell(0, 5, _latin(said), new_x=XPos.LMARGIN, new_y=YPos.NEXT)
        sheet.ln(2)
        with sheet.table(
            col_widths=(52, 24, 62, 56, 24, 60), line_height=5, text_align="LEFT", first_row_as_headings=True
        ) as grid:
            for cells in (
                ("Gate", "Verdict", "Measure", "Threshold", "Sample", "Details"),
                *(_cells(gate) for gate in report.gates),
            ):
                row = grid.row()
                for cell in cells:
                    row.cell(_latin(cell))
        sheet.ln(2)
        evidence = f"Evidence SHA-256 {report.evidence_hash}, {signed(report)}"
        sheet.multi_cell(0, 5, _latin(evidence), new_x=XPos.LMARGIN, new_y=YPos.NEXT)
    if not reports:
        sheet.add_page()
        sheet.set_font("Helvetica", size=11)
        sheet.cell(0, 9, "No slice fits.")
    return bytes(sheet.output())


def _row(report: Report, gate: Gate) -> tuple[str, ...]:
    return (
        report.entity, report.region, report.stage.value, "" if report.next is None else report.next.value,
        report.authority, str(report.version), report.verdict.value, gate.name, gate.verdict.value, gate.measure,
        gate.threshold, _text(gate.sample), _text(gate.least), gate.window or "", "; ".join(gate.details),
        _way_back(report), report.evidence_hash, report.at, signed(report),
    )  # fmt: skip


def _cells(gate: Gate) -> tuple[str, ...]:
    sample = "" if gate.sample is None else f"{gate.sample:,}" + (f" of {gate.least:,}" if gate.least else "")
    return (gate.title, gate.verdict.value, gate.measure, gate.threshold, sample, "; ".join(gate.details))


def _way_back(report: Report) -> str:
    back = report.way_back
    return back.words if back.verdict is None else f"{back.verdict.value}: {back.words}"


def signed(report: Report) -> str:
    """Who answers for it, in words."""
    told = "; ".join(f"{one.signed_by} at {one.signed_at}" for one in report.signatures)
    return f"signed by {told}" if told else "not signed"


def _blocks(report: Report, verdict: str) -> int:
    return sum(1 for gate in report.gates if gate.verdict == Outcome(verdict))


def _text(value: int | None) -> str:
    return "" if value is None else str(value)


def _latin(text: str) -> str:
    """The letters that a PDF's own fonts have."""
    for sign, plain in (("≥", ">="), ("≤", "<="), ("→", "->"), ("–", "-"), ("…", "...")):
        text = text.replace(sign, plain)
    return text.encode("latin-1", "replace").decode("latin-1")


@cache
def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("sheet.html")
