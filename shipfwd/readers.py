"""Bytes to records: encodings, CSV and JSON, in constant memory. What a record means is importer.py's.

Whatever the bytes are, a reader hands out records and Rejects; it raises nothing but ConfigError for a disk
that fails.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
import os
import re
import select
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, BinaryIO

from shipfwd.errors import ConfigError, Interrupted
from shipfwd.rows import Reject

ROW_MAX = 131_000  # characters of a CSV row; below csv.field_size_limit(), so that it is ours to complain
LINES_MAX = 100  # of a CSV row; a quote that stays open longer was never meant as one
RECORD_MAX = 1_000_000  # characters of a JSON value
CHUNK = 65_536  # also how much is looked at to tell encoding, format and delimiter
AT_ONCE = 8_192  # characters of CSV rows that are tried as plain ones

Cells = tuple[int, list[str]]  # physical line, cells of the row that starts there


def opened(path: Path, ending: Callable[[], bool]) -> BinaryIO:
    """The file to read. A pipe is waited for until somebody writes; a device, which may have no end, is refused."""
    mode = path.stat().st_mode
    if not stat.S_ISFIFO(mode):
        file = path.open("rb")
        if (stat.S_ISCHR(mode) or stat.S_ISBLK(mode)) and not file.isatty():
            file.close()
            raise ConfigError(f"{path} is a device, not a file; name the file that holds the shipments")
        return file
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    waiting = select.poll()
    waiting.register(fd, select.POLLIN)
    while not waiting.poll(250):
        if ending():
            os.close(fd)
            raise Interrupted(f"{path} is a pipe, and nobody wrote into it")
    os.set_blocking(fd, True)
    return open(fd, "rb")


class Chain(io.RawIOBase):
    """The bytes already looked at, then the rest. taken: how many were handed out."""

    def __init__(self, head: bytes, rest: BinaryIO, name: str, ending: Callable[[], bool] = lambda: False) -> None:
        self._head, self._rest, self._name, self._ending = memoryview(head), rest, name, ending
        self.taken = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._head:
            size = min(len(buffer), len(self._head))
            buffer[:size], self._head = self._head[:size], self._head[size:]
            self.taken += size
            return size
        if self._ending():
            raise Interrupted(f"{self._name}: broken off while it was read; nothing of it is stored")
        try:
            data = self._rest.read(len(buffer))
        except OSError as error:
            raise ConfigError(f"cannot read {self._name} to its end: {error.strerror}") from None
        buffer[: len(data)] = data
        self.taken += len(data)
        return len(data)


def _as_cp1250(error: UnicodeError) -> tuple[str, int]:
    """Windows-1250 for bytes that are not UTF-8, in a file that looked like ASCII at its beginning."""
    assert isinstance(error, UnicodeDecodeError)
    return error.object[error.start : error.end].decode("cp1250", "replace"), error.end


codecs.register_error("shipfwd.cp1250", _as_cp1250)


def encoding(head: bytes, whole: bool) -> tuple[str, str]:
    """(encoding, what to do with bytes that do not fit). whole: `head` is the whole file."""
    for bom, name in (
        (codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
        (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
    ):  # fmt: skip
        if head.startswith(bom):
            return name, "replace"
    if len(head) > 3 and head[:4].count(0) == 2:  # letters that cost two bytes each, the upper one 0
        return ("utf-16-be" if head[0] == 0 else "utf-16-le"), "replace"
    if head.isascii():
        return "utf-8", "shipfwd.cp1250"
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head, final=whole)
        return "utf-8", "replace"
    except UnicodeDecodeError:
        return "cp1250", "replace"


class _RowTooLong(Exception):
    pass


class Lines:
    """Physical lines for csv.reader; keeps those of the row being read, so that they can be read again.

    width   cells of the header, once it is known.
    number  of the last line before this row.
    ended   all lines have been read.
    odd     the lines of this row ended with the file, or hold a NUL byte.
    """

    def __init__(self, text: IO[str]) -> None:
        self.text, self.width, self.number = text, 0, 0
        self.ended = self.odd = False
        self.taken: list[str] = []
        self._again: list[str] = []

    def plain(self, delimiter: str) -> list[list[str]]:
        """The next rows, if each of them is one line with nothing odd in it; [] if they need a closer look."""
        if self._again:
            return []
        block = self.text.read(AT_ONCE) + self.text.readline(ROW_MAX + 1)
        self.ended = not block
        if len(block) <= ROW_MAX and "\0" not in block and block.count("\r") == block.count("\r\n"):
            lines = block.split("\n")
            if lines[-1]:
                lines.append("")  # a row more, if no quote is open before it
            with suppress(csv.Error):
                rows = list(csv.reader(lines, delimiter=delimiter))
                if len(rows) == len(lines):
                    self.number += len(rows) - 1
                    return rows[:-1]
        self._again = list(io.StringIO(block, newline=""))[::-1]
        return []

    def feed(self) -> Iterator[str]:
        """Line by line what `plain` left, and more where a row goes on behind that."""
        while self._again or self.taken:
            line = self._again.pop() if self._again else self.text.readline(ROW_MAX + 1)
            if not line:
                self.odd = True
                return
            self.taken.append(line)
            if len(line) > ROW_MAX or len(self.taken) > LINES_MAX:
                raise _RowTooLong
            if "\0" in line:
                self.odd = True
            yield line

    def forget(self) -> None:
        """This row is done."""
        self.number += len(self.taken)
        self.taken.clear()
        self.odd = False

    def give_back(self) -> str:
        """The first line of this row; its others will be read again as rows of their own."""
        first, *others = self.taken
        self._again.extend(reversed(others))
        self.taken[1:] = []
        if len(first) > ROW_MAX and not first.endswith(("\n", "\r")):
            while (rest := self.text.readline(ROW_MAX + 1)) and not rest.endswith(("\n", "\r")):
                pass
        return first


_OPEN_QUOTE = "a quote opens in this row and does not close in it"


def csv_rows(lines: Lines, delimiter: str) -> Iterator[Cells | Reject]:
    """(line, cells) of each row. A quote that never closes costs the row that it stands in, not the file."""
    while not lines.ended:
        while rows := lines.plain(delimiter):
            for line, cells in enumerate(rows, lines.number + 1 - len(rows)):
                if any(cells):
                    yield line, cells
        reason = ""
        try:
            for cells in csv.reader(lines.feed(), delimiter=delimiter):
                many = len(lines.taken) > 1
                if not lines.odd and not (many and lines.width and len(cells) != lines.width):
                    if any(cells):
                        yield lines.number + 1, cells
                elif any("\0" in line for line in lines.taken):
                    yield Reject(lines.number + 1, "the row holds a NUL byte", cells)
                else:
                    reason = _OPEN_QUOTE
                    break
                lines.forget()
        except (_RowTooLong, csv.Error):
            reason = _OPEN_QUOTE if len(lines.taken) > 1 else f"the row is longer than {ROW_MAX} characters"
        if not reason:
            continue
        first = lines.give_back()[:ROW_MAX]
        yield Reject(lines.number + 1, reason, next(csv.reader([first], delimiter=delimiter, quoting=csv.QUOTE_NONE)))
        lines.forget()


Value = tuple[int, Any, str]  # number of the line or record, what it holds, its text
# Numbers stay as they are written: 24 digits must not become a float, nor 6.2E+23 look like a number.
DECODER = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=lambda name: None)
_ARRAY = re.compile(r'\s*(?:\{\s*"(?:shipments|orders|rows|data|results)"\s*:\s*)?\[')
_BLANK = re.compile(r"\s*")
_BLANK_OR_COMMA = re.compile(r"[\s,]*")


def is_json(text: str) -> bool:
    try:
        DECODER.decode(text)
    except (ValueError, RecursionError):
        return False
    return True


def json_lines(text: IO[str]) -> Iterator[Value | Reject]:
    number = 0
    while line := text.readline(RECORD_MAX + 1):
        number += 1
        if len(line) > RECORD_MAX:
            while (rest := text.readline(RECORD_MAX)) and not rest.endswith("\n"):
                pass
            yield Reject(number, f"the line is longer than {RECORD_MAX} characters", line[:1000])
        elif not line.isspace():
            try:
                yield number, DECODER.decode(line), line
            except (ValueError, RecursionError) as error:
                yield Reject(number, _not_json(error), line.strip())


def _not_json(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "not JSON that can be read: it is nested too deeply"
    return f"not valid JSON: {error}"


def json_values(text: IO[str]) -> Iterator[Value | Reject]:
    """The elements of an array (bare, or the first member of an object), or values one after the other.

    Only one of them is in memory at a time. What is not JSON ends the reading: nobody can tell where the next
    record begins; the last thing that comes is then a Reject.
    """
    buffer, at, number, size = text.read(CHUNK), 0, 0, CHUNK
    opening = _ARRAY.match(buffer)
    skip = (_BLANK_OR_COMMA if opening else _BLANK).match
    at = opening.end() if opening else 0
    while True:
        found = skip(buffer, at)
        at = found.end() if found else at
        if opening and buffer[at : at + 1] == "]":
            rest = buffer[at + 1 :] + text.read(CHUNK)
            if rest.strip() and opening[0].lstrip().startswith("["):
                yield Reject(number + 1, "something stands behind the closing ] and was not read", rest[:1000])
            return
        try:
            value, end = DECODER.raw_decode(buffer, at)
        except RecursionError as error:
            yield Reject(number + 1, f"{_not_json(error)}; nothing after it was read", buffer[at : at + 1000])
            return
        except ValueError as error:
            more = text.read(size) if len(buffer) - at <= RECORD_MAX else ""
            if more:  # twice as much for a record that is long, but not for blanks between two
                buffer, at, size = buffer[at:] + more, 0, 2 * size if at < len(buffer) else CHUNK
                continue
            if at < len(buffer) or opening:
                what = _not_json(error) if at < len(buffer) else "the file ends before its closing ]"
                what = what if len(buffer) - at <= RECORD_MAX else f"a record is longer than {RECORD_MAX} characters"
                yield Reject(number + 1, f"{what}; nothing after it was read", buffer[at : at + 1000])
            return
        number, size = number + 1, CHUNK
        yield number, value, buffer[at:end]
        at = end
