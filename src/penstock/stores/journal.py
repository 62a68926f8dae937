"""A worker's journal: what it opens and closes, each written by one write(2) before anything leaves for a provider.

So what a killed process did is known to the kernel, and with `power` to the disk. The file's form, which
`journal_reader.py` reads: each record is its body's length and CRC-32 (four bytes each, little-endian), then the body,
one of `rows.py` in msgpack. Segments `NAME.00000001.journal`, ... follow each other; whoever folds them into the
ledger deletes those that it has taken whole. The writer holds a lock (flock) on the one it writes.
"""

from __future__ import annotations

import fcntl
import os
from errno import ENOSPC
from pathlib import Path
from struct import Struct
from zlib import crc32

import msgspec

from penstock.stores.rows import Closed, Heard, Opened

__all__ = ["HEAD", "Journal", "segment_path"]

HEAD = Struct("<II")
SEGMENT_BYTES = 4 * 1024 * 1024
# So much is kept for a ledger that takes nothing: 256 MiB, about half a million attempts.
MOST_SEGMENTS = 64

_encode = msgspec.msgpack.Encoder().encode
_pack = HEAD.pack
_write = os.write


def segment_path(folder: Path, name: str, segment: int) -> Path:
    """Where a segment lies; they count from 1."""
    return folder / f"{name}.{segment:08d}.journal"


class Journal:
    """Written by one process; a name is used once.

    Args:
        folder: made if it is not there.
        name: of letters, digits, `-` and `_`.
        power: each record is on the disk, not only with the kernel, once it is written: safe against a loss of power,
            at the price of a disk's turn (milliseconds) for each.

    Raises:
        OSError: the folder or the file cannot be made.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        *,
        power: bool = False,
        segment_bytes: int = SEGMENT_BYTES,
        most_segments: int = MOST_SEGMENTS,
    ) -> None:
        self._folder = folder
        self._name = name
        self.power = power
        self._segment_bytes = segment_bytes
        self._most_segments = most_segments
        self._segment = 0
        self._size = 0
        self._file = -1
        # What could not be written: ends of attempts, as many as were open at most, since none is opened meanwhile.
        self._owed: list[bytes] = []
        folder.mkdir(mode=0o700, exist_ok=True)
        self._turn_over()

    def __repr__(self) -> str:
        return f"<Journal {self._name}, segment {self._segment}, {self._size} bytes>"

    @property
    def owed(self) -> int:
        """How many ends of attempts wait for room on the disk."""
        return len(self._owed)

    def open(self, row: Opened) -> None:
        """An attempt is about to be sent.

        Raises:
            OSError: it cannot be written, or nobody takes what is: then it must not be sent.
        """
        if self._size >= self._segment_bytes:
            self._next_segment()
        if self._owed:
            self._settle_owed()
        self._append(_encode(row))

    def heard(self, row: Heard) -> None:
        """What is known of an attempt so far; lost where it cannot be written, since its end will tell more."""
        try:
            if self._size >= self._segment_bytes:
                self._next_segment()
            self._append(_encode(row))
        except OSError:
            pass

    def close(self, row: Closed) -> None:
        """An attempt is over. What cannot be written is owed: it is written before the next attempt is opened."""
        body = _encode(row)
        try:
            if self._owed:
                self._settle_owed()
            self._append(body)
        except OSError:
            self._owed.append(body)

    def end(self) -> None:
        """Write what is owed, if that can be, and close the file."""
        try:
            self._settle_owed()
        except OSError:
            pass
        file, self._file = self._file, -1
        if file >= 0:
            os.close(file)

    def leave(self) -> None:
        """In a forked child: it is the parent's, and would seem to be written for as long as the child lives."""
        file, self._file = self._file, -1
        self._owed.clear()
        if file >= 0:
            os.close(file)

    def _append(self, body: bytes) -> None:
        record = _pack(len(body), crc32(body)) + body
        size = self._size + len(record)
        if _write(self._file, record) != len(record):
            self._take_back()
            raise OSError(ENOSPC, f"the journal {self._name} cannot be written", str(self._folder))
        if self.power:
            self._sync()
        self._size = size

    def _sync(self) -> None:
        try:
            os.fdatasync(self._file)
        except OSError:
            self._take_back()
            raise

    def _take_back(self) -> None:
        """What is half there would hide what follows; and an attempt that is not sent must not be told of."""
        try:
            os.ftruncate(self._file, self._size)
        except OSError:
            # Then nothing more goes there: the next attempt opens a new segment.
            os.close(self._file)
            self._file, self._size = -1, self._segment_bytes
            raise

    def _settle_owed(self) -> None:
        while self._owed:
            self._append(self._owed[0])
            del self._owed[0]

    def _next_segment(self) -> None:
        """Go on in a new file, unless too many wait to be folded.

        The write that overflows is the next opening's, so a segment can be larger by the ends of what was open.
        """
        oldest = self._segment - self._most_segments + 1
        if oldest > 0 and segment_path(self._folder, self._name, oldest).exists():
            raise OSError(ENOSPC, f"the journal {self._name} is full: the ledger takes nothing", str(self._folder))
        self._turn_over()

    def _turn_over(self) -> None:
        path = segment_path(self._folder, self._name, self._segment + 1)
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        # For as long as this process lives, so that nobody takes it for dead; the one before is let go only then.
        fcntl.flock(file, fcntl.LOCK_EX)
        if self.power:
            _sync_folder(self._folder)
        before, self._file = self._file, file
        self._segment += 1
        self._size = 0
        if before >= 0:
            os.close(before)


def _sync_folder(folder: Path) -> None:
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
