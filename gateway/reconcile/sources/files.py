"""Reads rows out of a CSV or JSON lines file, from where a cursor has come to, in memory that does not grow with it.

A file is cut at its line feeds before it is decoded, so a byte that does not belong there spoils one row and no other.
A row whose form is broken is told, and reading goes on with the line behind the one that it began with: a quote that
nobody closes swallows nothing. The cursor holds what the file was when reading began; another one under the same name
is another export.
"""

from __future__ import annotations

import csv
import os
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

import msgspec

from gateway.reconcile.sources.map import EntityRows, SourceMap
from gateway.reconcile.sources.piece import Failed, Row, Rows, Unreadable, Unsuited

#: Bytes of the longest line, and characters of the longest cell.
LONGEST = 1_048_576
#: Bytes that are looked through at once.
SCAN = 4_194_304
#: The mark that some programs put before UTF-8.
_MARK = "\ufeff"
# What a quote opens ends there at the latest, and is told.
csv.field_size_limit(LONGEST)
_decode = msgspec.json.Decoder(float_hook=Decimal).decode


class At(msgspec.Struct, frozen=True, kw_only=True):
    """Where reading has come to, in which file."""

    offset: int  #: bytes
    line: int  #: lines before it
    stamp: str


class Whole(NamedTuple):
    """A CSV file in which each line is a row. ``head``: its line of names, if it has one."""

    path: Path
    names: list[str]
    head: int
    rows: int
    ends: str  #: how a line ends
    size: int
    stamp: str
    last: dict[str, str]  #: the cells of its last row

    @property
    def cursor(self) -> str:
        """Before its first line."""
        return _as_cursor(At(offset=0, line=0, stamp=self.stamp)).decode()

    def hold(self) -> None:
        """Raises Failed where it is another file by now."""
        try:
            state = self.path.stat()
        except OSError as wrong:
            raise Failed(f"{self.path.name} cannot be read: {wrong.strerror}") from wrong
        if _stamp(state) != self.stamp:
            raise Failed(_changed(self.path))


class _Line(NamedTuple):
    number: int
    end: int  #: offset behind it
    text: str | None  #: None: too long


_as_cursor = msgspec.json.Encoder().encode
_at = msgspec.json.Decoder(At).decode


def read(
    path: Path, found: SourceMap, entity: EntityRows, needed: Sequence[str], cursor: str | None, limit: int
) -> Rows:
    """Up to ``limit`` rows behind ``cursor``. ``needed`` are the columns that the map names. Raises Failed."""
    try:
        with path.open("rb") as file:
            state = os.fstat(file.fileno())
            stamp = _stamp(state)
            at = At(offset=0, line=0, stamp=stamp) if cursor is None else _at(cursor)
            if at.stamp != stamp:
                raise Failed(_changed(path))
            names: list[str] = []
            if found.kind == "csv":
                names, at = _names(file, path, found, entity, needed, at)
            if found.kind == "csv":
                rows, bad, at = _csv(file, found, names, at, limit)
            else:
                rows, bad, at = _json_lines(file, found, at, limit)
            file.seek(at.offset)
            more = file.read(1) != b""
            return Rows(rows, bad, _as_cursor(at).decode() if more else None, state.st_mtime_ns // 1000)
    except OSError as wrong:
        raise Failed(f"{path.name} cannot be read: {wrong.strerror}") from wrong


def whole(path: Path, found: SourceMap, entity: EntityRows, needed: Sequence[str]) -> Whole:
    """A CSV file that may be read all at once. Raises Failed, and Unsuited where a quote, a byte or the end of a line
    could make something else of it than the rows are. (Of 4,074 lines with quotes that DuckDB 2.0 and Python were given
    both, DuckDB took 412 otherwise: it passes over blanks beside a quote, and over an empty cell too many.)"""
    try:
        with path.open("rb") as file:
            state = os.fstat(file.fileno())
            at = At(offset=0, line=0, stamp=_stamp(state))
            names, at = _names(file, path, found, entity, needed, at)
            lines = returns = pairs = cuts = 0
            delimiter = found.delimiter.encode()
            if len(delimiter) > 1:
                raise Unsuited("its delimiter is no letter of ASCII")
            last = b""
            file.seek(0)
            if not at.line and file.read(3) == _MARK.encode():
                raise Unsuited(f"{path.name} begins with a mark and no names")
            file.seek(0)
            while piece := file.read(SCAN):
                if b'"' in piece or b"\0" in piece or b"\1" in piece:
                    raise Unsuited(f"{path.name} has quotes, or bytes that are no letters, in it")
                lines += piece.count(b"\n")
                cuts += piece.count(delimiter)
                if b"\r" in piece or last == b"\r":
                    returns += piece.count(b"\r")
                    pairs += piece.count(b"\r\n") + (last == b"\r" and piece.startswith(b"\n"))
                last = piece[-1:]
            file.seek(max(0, state.st_size - LONGEST))
            ending = file.read().rstrip(b"\r\n").rpartition(b"\n")[2]
    except OSError as wrong:
        raise Failed(f"{path.name} cannot be read: {wrong.strerror}") from wrong
    if returns not in (0, lines) or pairs != returns or (last != b"\n" and returns):
        raise Unsuited(f"{path.name} has lines that end in more than one way")
    rows = lines + (last not in (b"\n", b"")) - at.line
    if cuts != (rows + at.line) * (len(names) - 1):
        # The column store does not mind an empty cell too many at the end of a row.
        raise Unsuited(f"{path.name} has rows with more or fewer cells than columns")
    return Whole(
        path=path,
        names=names,
        head=at.line,
        rows=rows,
        ends="\r\n" if returns else "\n",
        size=state.st_size,
        stamp=at.stamp,
        last=dict(zip(names, ending.decode(found.encoding, errors="replace").split(found.delimiter), strict=False)),
    )


def picked(
    path: Path,
    found: SourceMap,
    entity: EntityRows,
    needed: Sequence[str],
    cursor: str,
    lines: Sequence[int],
    limit: int,
) -> Rows:
    """The rows of up to ``limit`` of ``lines``, in their order, behind ``cursor``; each is a line of its own. Raises
    Failed."""
    try:
        with path.open("rb") as file:
            state = os.fstat(file.fileno())
            at = _at(cursor)
            if at.stamp != _stamp(state):
                raise Failed(_changed(path))
            names, _ = _names(file, path, found, entity, needed, at)
            begin = bisect_right(lines, at.line)
            wanted = lines[begin : begin + limit]
            rows: list[Row] = []
            bad: list[Unreadable] = []
            file.seek(at.offset)
            number = at.line
            for line in wanted:
                raw = next(islice(file, line - number - 1, None))
                number = line
                text = raw.decode(found.encoding, errors="surrogateescape")
                cells = next(csv.reader([text], delimiter=found.delimiter, strict=True), list[str]())
                fault = _form(cells, names, found.encoding)
                if fault is None:
                    rows.append(Row(line, dict(zip(names, cells, strict=True))))
                else:
                    bad.append(Unreadable(line=line, field=None, reason=fault))
            at = At(offset=file.tell(), line=number, stamp=at.stamp)
            more = begin + limit < len(lines)
            return Rows(rows, bad, _as_cursor(at).decode() if more else None, state.st_mtime_ns // 1000)
    except OSError as wrong:
        raise Failed(f"{path.name} cannot be read: {wrong.strerror}") from wrong


def _changed(path: Path) -> str:
    return f"{path.name} has changed since reading it began: reconcile again with the new one"


def _stamp(state: os.stat_result) -> str:
    """Changes when the file does."""
    return f"{state.st_mtime_ns} {state.st_size} {state.st_ino}"


def _lines(file: BinaryIO, encoding: str, at: At) -> Iterator[_Line]:
    """The lines behind ``at``, each with its line feed."""
    file.seek(at.offset)
    number, offset = at.line, at.offset
    while raw := file.readline(LONGEST):
        size = len(raw)
        whole = size < LONGEST or raw.endswith(b"\n")
        while not whole:
            rest = file.readline(LONGEST)
            size += len(rest)
            whole = len(rest) < LONGEST or rest.endswith(b"\n")
            raw = b""
        number, offset = number + 1, offset + size
        text = raw.decode(encoding, errors="surrogateescape") if raw else None
        yield _Line(number, offset, text.removeprefix(_MARK) if number == 1 and text else text)


def _names(
    file: BinaryIO, path: Path, found: SourceMap, entity: EntityRows, needed: Sequence[str], at: At
) -> tuple[list[str], At]:
    """The names of the columns, and where the rows begin."""
    names = list(entity.columns)
    if not names:
        start = msgspec.structs.replace(at, offset=0, line=0)
        first = next(_lines(file, found.encoding, start), None)
        if first is None or first.text is None:
            raise Failed(f"{path.name} has no line of names")
        names = next(csv.reader([first.text], delimiter=found.delimiter), names)
        if at.line == 0:
            at = msgspec.structs.replace(at, offset=first.end, line=1)
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise Failed(f"{path.name} has two columns named {twice[0]}")
    lacking = [name for name in needed if name not in names]
    if lacking:
        raise Failed(f"{path.name} has no column {', '.join(lacking)}, which its map names")
    return names, at


def _csv(
    file: BinaryIO, found: SourceMap, names: list[str], at: At, limit: int
) -> tuple[list[Row], list[Unreadable], At]:
    rows: list[Row] = []
    bad: list[Unreadable] = []
    while len(rows) + len(bad) < limit:
        taken: list[_Line] = []

        def text(taken: list[_Line] = taken, at: At = at) -> Iterator[str]:
            for line in _lines(file, found.encoding, at):
                taken.append(line)
                if line.text is None:
                    raise csv.Error("its line is too long")
                yield line.text

        reader = csv.reader(text(), delimiter=found.delimiter, strict=True)
        fault: str | None = None
        while fault is None and len(rows) + len(bad) < limit:
            taken.clear()
            try:
                cells = next(reader, None)
            except csv.Error as wrong:
                cells, fault = [], f"is no row: {wrong}"
            if cells is None:
                return rows, bad, at
            fault = fault or _form(cells, names, found.encoding)
            if fault is not None:
                # What follows may belong to this row or not: each line of it is looked at by itself.
                bad.append(Unreadable(line=taken[0].number, field=None, reason=fault))
                at = msgspec.structs.replace(at, offset=taken[0].end, line=taken[0].number)
                continue
            if cells:
                rows.append(Row(taken[0].number, dict(zip(names, cells, strict=True))))
            at = msgspec.structs.replace(at, offset=taken[-1].end, line=taken[-1].number)
    return rows, bad, at


def _form(cells: list[str], names: list[str], encoding: str) -> str | None:
    """What is wrong with the form of a row; an empty line is none, and nothing is wrong with it."""
    if not cells:
        return None
    if len(cells) != len(names):
        return f"has {len(cells)} cells for {len(names)} columns"
    if not all(map(_is_text, cells)):
        return f"has bytes that are not {encoding}"
    return None


def _is_text(text: str) -> bool:
    """False: there are bytes in it that the encoding does not know, which were kept as they are."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _json_lines(
    file: BinaryIO, found: SourceMap, at: At, limit: int
) -> tuple[list[Row], list[Unreadable], At]:
    rows: list[Row] = []
    bad: list[Unreadable] = []
    for line in _lines(file, found.encoding, at):
        at = msgspec.structs.replace(at, offset=line.end, line=line.number)
        if line.text is None or line.text.strip():
            fault, cells = _object(line.text, found.encoding)
            if fault is None:
                rows.append(Row(line.number, cells))
            else:
                bad.append(Unreadable(line=line.number, field=None, reason=fault))
        if len(rows) + len(bad) >= limit:
            break
    return rows, bad, at


def _object(text: str | None, encoding: str) -> tuple[str | None, dict[str, Any]]:
    """What is wrong with a line, or the object that it is."""
    if text is None:
        return "is too long for a line", {}
    if not _is_text(text):
        return f"has bytes that are not {encoding}", {}
    try:
        cells = _decode(text)
    except (msgspec.DecodeError, RecursionError) as wrong:
        return f"is not JSON: {wrong}", {}
    if type(cells) is not dict:
        return "is no JSON object", {}
    return None, cast("dict[str, Any]", cells)
