"""What an import rejected, written down to be mended and imported again."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from shipfwd.errors import ConfigError, UsageError
from shipfwd.rows import REASON, Reject

if TYPE_CHECKING:
    from shipfwd.importer import Source


class Rejects:
    """Writes rejected rows in their file's own format, with the reason beside them, to be mended and imported.

    The file comes to be with the first reject, 0600 whatever the umask. A source with another format or header
    than the one before gets a file of its own beside it ("rejects-2.csv"); `paths` names what was written.
    Raises ConfigError when it cannot be written, UsageError when it would overwrite the source.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self._files: dict[tuple[str, ...], IO[str]] = {}
        self.paths: list[Path] = []
        self.count = 0

    def __enter__(self) -> Rejects:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add(self, source: Source, reject: Reject) -> None:
        is_json = source.format in ("json", "jsonl")
        layout = (source.format,) if is_json else (source.format, source.delimiter, *source.header)
        fresh = layout not in self._files
        if fresh:
            self._files[layout] = self._create(source)
        file = self._files[layout]
        if is_json:
            text = json.dumps(_with_reason(reject), ensure_ascii=False)
            file.write(("[\n" if fresh else ",\n") + text if source.format == "json" else text + "\n")
        else:
            names = [name for name in source.header if name != REASON]
            places = [index for index, name in enumerate(source.header) if name != REASON]
            raw = list(reject.raw)
            cells = [raw[place] if place < len(raw) else "" for place in places] + raw[len(source.header) :]
            writer = csv.writer(file, delimiter=source.delimiter or ",", lineterminator="\n")
            writer.writerows(([*names, REASON], [*cells, reject.reason]) if fresh else ([*cells, reject.reason],))
        self.count += 1

    def _create(self, source: Source) -> IO[str]:
        number = len(self.paths) + 1
        path = self._path if number == 1 else self._path.with_stem(f"{self._path.stem}-{number}")
        try:
            if source.path and path.exists() and path.samefile(source.path):
                raise UsageError(f"--rejects {path} is the file that is being imported; name another one")
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            os.fchmod(handle, 0o600)
        except OSError as error:
            raise ConfigError(f"cannot write {path}: {error.strerror}") from None
        self.paths.append(path)
        # backslashreplace: half of a UTF-16 pair, possible in JSON, is written as JSON writes it.
        return os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace", newline="")

    def close(self) -> None:
        for layout, file in self._files.items():
            if layout[0] == "json":
                file.write("\n]\n")
            file.close()
        self._files.clear()


def _with_reason(reject: Reject) -> dict[str, Any]:
    """A JSON record with its reason; what is no record is kept as text."""
    try:
        record = json.loads(str(reject.raw))
    except (ValueError, RecursionError):
        record = None
    if not isinstance(record, dict):
        record = {"shipfwd_raw": reject.raw}
    return {**record, REASON: reject.reason}
