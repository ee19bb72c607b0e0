"""XLSX to records, row by row, with openpyxl (an extra: `pip install 'shipfwd[xlsx]'`), as readers.py does for text.

A spreadsheet keeps a number with 15 digits. What had more, and was not kept as text, has lost the rest: such a cell
is handed on the way a spreadsheet would show it (6.20023E+23), and rejected where it is a tracking number.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from datetime import date, datetime, time
from itertools import islice
from typing import IO, TYPE_CHECKING, Any, BinaryIO

from shipfwd.errors import UsageError
from shipfwd.readers import CHUNK, Cells
from shipfwd.rows import UNCALCULATED

if TYPE_CHECKING:
    import zipfile

IN_MEMORY = 8_000_000  # bytes of a file that is not on the disk already
UNPACKED_MAX = 1_000_000_000  # bytes; a file that unpacks to more is no list of parcels
DIGITS = 1e15  # from here on a spreadsheet's number is not exact
STRINGS_MAX = 60_000_000  # bytes of the texts that cells share: they are all in memory
OTHER_MAX = 8_000_000  # bytes of any other part, which is read as a whole
ROW_MAX = 1_000_000  # bytes of a row
ROWS_MAX = 1_048_576  # of a sheet; a row's number above it would be counted up to for ever
FIRST = 5  # rows of a sheet that is not read; enough to tell whether it has a header
INSTEAD = "save it as CSV UTF-8 and import that file"


def rows(raw: BinaryIO, others: list[tuple[str, list[list[str]]]]) -> Iterator[Cells]:
    """(line, cells) of the first sheet that holds anything. Raises UsageError when it is no XLSX that can be read.

    others   gets the sheets behind it, which are not read: title, first rows.
    """
    import tempfile

    try:
        import openpyxl  # type: ignore[import-untyped]
    except ImportError:
        raise UsageError(f"this is a spreadsheet; {INSTEAD}, or: pip install 'shipfwd[xlsx]'") from None
    import warnings
    import zipfile
    from xml.etree.ElementTree import ParseError

    warnings.filterwarnings("ignore", module=r"openpyxl\.")  # styles and dates that it does not know are no matter here
    with tempfile.SpooledTemporaryFile(IN_MEMORY) as file:  # a ZIP is read from its end
        while data := raw.read(CHUNK):
            file.write(data)
        try:
            archive = zipfile.ZipFile(file)
            sheets = _examined(archive)
            book = openpyxl.load_workbook(file, read_only=True, data_only=True, keep_links=False)
            main: Any = None
            for sheet in book.worksheets:
                sheet.reset_dimensions()  # some programs write wrong ones
                filled, formulas = sheets[sheet._worksheet_path]
                if main is not None:
                    top = islice(sheet.iter_rows(values_only=True), FIRST)
                    others.append((sheet.title, [[text(cell) for cell in row] for row in top]))
                elif filled:
                    main = sheet, formulas
            if main is not None:
                yield from _rows(*main)
        except (zipfile.BadZipFile, KeyError, ValueError, TypeError, ParseError, EOFError, OSError) as error:
            raise UsageError(f"this is no XLSX file that can be read ({type(error).__name__}); {INSTEAD}") from None


def _rows(sheet: Any, formulas: array[int]) -> Iterator[Cells]:
    left = iter(formulas)
    place = next(left, -1)
    for line, row in enumerate(sheet.iter_rows(values_only=True), 1):
        cells = [text(cell) for cell in row]
        while place >= 0 and place // COLUMNS == line:
            cells += [""] * (place % COLUMNS + 1 - len(cells))
            cells[place % COLUMNS] = UNCALCULATED
            place = next(left, -1)
        while cells and not cells[-1]:
            cells.pop()
        if cells:
            yield line, cells


# ---- before openpyxl reads it ---------------------------------------------------------------------------------------

COLUMNS = 20_000  # more than a sheet has


def _examined(archive: zipfile.ZipFile) -> dict[str, tuple[bool, array[int]]]:
    """Of each sheet: does it hold anything, and `_scanned`. Raises UsageError for a file that would fill the memory."""
    sheets, size = {}, 0
    for one in archive.infolist():
        name = one.filename
        if name.startswith("xl/worksheets/") and name.endswith(".xml"):
            most = UNPACKED_MAX
        else:
            most = UNPACKED_MAX if name.startswith("xl/media/") else OTHER_MAX
            most = STRINGS_MAX if name.lower().endswith("sharedstrings.xml") else most
        if one.file_size > most or (size := size + one.file_size) > UNPACKED_MAX:
            raise UsageError(f"it unpacks to more than a list of parcels does; {INSTEAD}")
    for name in archive.namelist():
        if name.startswith("xl/worksheets/") and name.endswith(".xml"):
            sheets[name] = _scanned(archive, name)
    return sheets


def _scanned(archive: zipfile.ZipFile, path: str) -> tuple[bool, array[int]]:
    """Does a sheet hold anything; its cells with a formula and no value: line * COLUMNS + column.

    openpyxl holds a whole row, however long it is, and counts up to whatever number a row has.
    """
    from xml.parsers.expat import ExpatError, ParserCreate  # noqa: S407  (no entities: a document type is refused)

    found: array[int] = array("Q")
    line = column = begun = 0
    formula = value = filled = False
    parser = ParserCreate()
    parser.buffer_text = False

    def refuse(*_: Any) -> None:
        raise UsageError(f"a sheet of it is no list of parcels (a row is too long or too far down); {INSTEAD}")

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal line, column, begun, formula, value, filled
        name = name.rpartition(":")[2]
        if name == "row":
            line, column, begun = int(attributes.get("r", line + 1)), 0, parser.CurrentByteIndex
            if line > ROWS_MAX:
                refuse()
        elif name == "c":
            column = _column(attributes["r"]) if "r" in attributes else column + 1
            formula = value = False
        elif name == "f":
            formula = filled = True
            parser.CharacterDataHandler = None
        elif name in ("v", "t"):
            filled = True
            if formula:
                parser.CharacterDataHandler = said

    def said(data: str) -> None:
        nonlocal value
        value = value or bool(data)

    def end(name: str) -> None:
        nonlocal formula, begun
        name = name.rpartition(":")[2]
        if name == "c" and formula:
            parser.CharacterDataHandler, formula = None, False
            if not value:
                found.append(line * COLUMNS + column - 1)
        elif name == "row":
            begun = parser.CurrentByteIndex

    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.StartDoctypeDeclHandler = refuse
    fed = 0
    with archive.open(path) as part:
        reader: IO[bytes] = part
        while data := reader.read(CHUNK):
            try:
                parser.Parse(data)
            except ExpatError as error:
                raise ValueError(str(error)) from None
            fed += len(data)
            if fed - begun > ROW_MAX + CHUNK:
                refuse()
    return filled, found


def _column(place: str) -> int:
    """1 for A7, 27 for AA7."""
    number = 0
    for sign in place.rstrip("0123456789")[:4].upper():
        number = number * 26 + ord(sign) - 64
    return number


def text(cell: Any) -> str:
    """A cell as it would stand in a CSV file."""
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, float):
        if cell.is_integer() and abs(cell) < DIGITS:
            return str(int(cell))
        return f"{cell:.5E}" if abs(cell) >= DIGITS else repr(cell)
    if isinstance(cell, datetime):  # a date without a time is stored as its midnight
        return cell.date().isoformat() if cell.time() == time() else cell.isoformat(" ", "seconds")
    if isinstance(cell, date | time):
        return cell.isoformat()
    return str(cell)
