"""XLSX to records, row by row, with openpyxl (an extra: `pip install 'shipfwd[xlsx]'`), as readers.py does for text.

A spreadsheet keeps a number with 15 digits. What had more, and was not kept as text, has lost the rest: such a cell
is handed on the way a spreadsheet would show it (6.20023E+23), and rejected where it is a tracking number.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, time
from itertools import islice
from typing import Any, BinaryIO

from shipfwd.errors import UsageError
from shipfwd.readers import CHUNK, Cells

IN_MEMORY = 8_000_000  # bytes of a file that is not on the disk already
UNPACKED_MAX = 1_000_000_000  # bytes; a file that unpacks to more is no list of parcels
DIGITS = 1e15  # from here on a spreadsheet's number is not exact
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
            if sum(one.file_size for one in zipfile.ZipFile(file).infolist()) > UNPACKED_MAX:
                raise UsageError(f"it unpacks to more than {UNPACKED_MAX // 1_000_000} MB; {INSTEAD}")
            book = openpyxl.load_workbook(file, read_only=True, data_only=True, keep_links=False)
            found = False
            for sheet in book.worksheets:
                sheet.reset_dimensions()  # some programs write wrong ones
                if found:
                    top = islice(sheet.iter_rows(values_only=True), FIRST)
                    others.append((sheet.title, [[text(cell) for cell in row] for row in top]))
                    continue
                for line, row in enumerate(sheet.iter_rows(values_only=True), 1):
                    cells = [text(cell) for cell in row]
                    while cells and not cells[-1]:
                        cells.pop()
                    if cells:
                        found = True
                        yield line, cells
        except (zipfile.BadZipFile, KeyError, ValueError, TypeError, ParseError, EOFError, OSError) as error:
            raise UsageError(f"this is no XLSX file that can be read ({type(error).__name__}); {INSTEAD}") from None


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
