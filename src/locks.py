"""One process at a time: a lock file that the operating system frees when its holder dies.

`workspace.py` takes one for each stage while it runs. A file that merely exists would survive a killed
process; a lock held on an open file cannot.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

if os.name == "nt":
    import msvcrt
else:
    import fcntl


class Locked(RuntimeError):
    """Another process holds the lock; the message names it."""


class Lock:
    """One process a stage. The operating system frees the lock when the process dies, so none can be left
    behind."""

    _mine: ClassVar[dict[Path, Lock]] = {}

    def __init__(self, path: Path):
        """Take the lock at once or not at all. Raises Locked when another process holds it, OSError when its file
        cannot be opened or written."""
        if path in Lock._mine:  # the same notebook ran its first cell again: its earlier run is over
            Lock._mine[path].release()
        self.path = path
        self._file = open(path, "a+", encoding="utf-8")  # noqa: SIM115 - held until release
        try:
            if os.name == "nt":
                self._file.seek(1 << 20)
                msvcrt.locking(self._file.fileno(), msvcrt.LK_NBLCK, 1)
            else:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.seek(0)
            holder = self._file.read().strip() or "unknown"
            self._file.close()
            raise Locked(f"process {holder}") from None
        try:
            self._file.truncate(0)
            self._file.write(str(os.getpid()))
            self._file.flush()
        except OSError:
            with suppress(OSError):  # closing tries to write the rest once more
                self._file.close()
            raise
        Lock._mine[path] = self

    @property
    def held(self) -> bool:
        return not self._file.closed

    def release(self) -> None:
        self._file.close()
        if Lock._mine.get(self.path) is self:
            del Lock._mine[self.path]
