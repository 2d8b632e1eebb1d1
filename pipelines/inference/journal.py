"""A journal: lines of JSON with a checksum each, appended as work gets done, read after whatever ended the process.

A line that was cut off when the process was killed, the disk was full or the power failed is as if it had not been
written.
"""

import errno
import json
import os
import time
import zlib
from collections.abc import Iterator, Mapping
from io import FileIO
from pathlib import Path
from typing import Any, Final

_SYNC_SECONDS: Final = 5.0
"""A power failure costs at most what was written in so long."""


class Journal:
    """One file of lines, with one writer.

    Attributes:
        length: bytes of whole lines, once `open` has been called or something was written.
        damaged: lines that do not say what was written, found by `open`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.length = self.damaged = 0
        self._file: FileIO | None = None
        self._synced = time.monotonic()

    def open(self) -> Iterator[dict[str, Any]]:
        """Yield what earlier lines say; afterwards cut off a last line that is not whole."""
        self.length = self.damaged = 0
        try:
            stream = self.path.open("rb")
        except FileNotFoundError:
            return
        with stream:
            for line in stream:
                if not line.endswith(b"\n"):
                    break
                self.length += len(line)
                entry = _checked(line)
                if entry is None:
                    self.damaged += 1
                else:
                    yield entry
        if self.path.stat().st_size > self.length:
            os.truncate(self.path, self.length)

    def entries(self, length: int) -> Iterator[dict[str, Any]]:
        """Yield what the lines in the first so many bytes say; others may be appended meanwhile."""
        left = length
        if not left:
            return
        with self.path.open("rb") as stream:
            for line in stream:
                left -= len(line)
                entry = _checked(line)
                if entry is not None:
                    yield entry
                if left <= 0:
                    return

    def append(self, values: Mapping[str, Any]) -> None:
        """Add a line.

        Raises:
            OSError: it cannot be written, and nothing of it is left, or it cannot be brought to the disk.
        """
        if self._file is None:
            self._file = self.path.open("ab", buffering=0)
        text = json.dumps(values, separators=(",", ":")).encode()
        line = b"%08x %s\n" % (zlib.crc32(text), text)
        try:
            if self._file.write(line) != len(line):  # the disk took a part of it
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
        except OSError:
            os.ftruncate(self._file.fileno(), self.length)
            raise
        self.length += len(line)
        if time.monotonic() - self._synced > _SYNC_SECONDS:
            self.sync()

    def sync(self) -> None:
        """Wait until all lines are on the disk."""
        if self._file is not None:
            os.fsync(self._file.fileno())
            self._synced = time.monotonic()

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()
            self._file = None


def _checked(line: bytes) -> dict[str, Any] | None:
    """The entry of a line; None where it is not what was written."""
    checksum, _, text = line.removesuffix(b"\n").partition(b" ")
    if not line.endswith(b"\n") or b"%08x" % zlib.crc32(text) != checksum:
        return None
    entry: dict[str, Any] = json.loads(text)
    return entry
