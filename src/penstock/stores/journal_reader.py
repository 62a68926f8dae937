"""Reads a journal as far as it is whole: what is being written, and what a crash has torn, ends it.

A record that was damaged later (a wrong checksum, and good ones behind it) is passed over and counted; the attempt
that it told of is then posted as lost, or as one of which nobody knows whose it was, never forgotten.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

import msgspec

from penstock.stores.journal import HEAD, segment_path
from penstock.stores.rows import Closed, Heard, Opened

__all__ = ["Piece", "Row", "is_written", "journals_in", "read_piece"]

Row = Opened | Heard | Closed

# Of one record: holds of many accounts are some kilobytes.
MOST_BYTES = 1024 * 1024
# Nearly all are shorter: what is read behind a piece, so that its last record is whole.
USUAL_BYTES = 16 * 1024

_decode: Callable[[bytes], Row] = msgspec.msgpack.Decoder(Row).decode
_unpack = HEAD.unpack_from
_SUFFIX = ".journal"


class Piece(NamedTuple):
    """Rows of one segment, and where they end.

    Attributes:
        end: up to where the segment is whole.
        rest: bytes behind that.
        damaged: records that were passed over.
    """

    rows: list[Row]
    end: int
    rest: int
    damaged: int


def journals_in(folder: Path) -> dict[str, list[int]]:
    """The journals that lie there, and each one's segments in order."""
    found: dict[str, list[int]] = {}
    try:
        entries = list(os.scandir(folder))
    except FileNotFoundError:
        return found
    for entry in entries:
        name, _, segment = entry.name.removesuffix(_SUFFIX).rpartition(".")
        if entry.name.endswith(_SUFFIX) and name and segment.isdecimal():
            found.setdefault(name, []).append(int(segment))
    for segments in found.values():
        segments.sort()
    return found


def is_written(folder: Path, name: str, segments: Iterable[int]) -> bool:
    """Whether the process that writes a journal still lives.

    Args:
        segments: in order; the writer holds the older until it has the newer.
    """
    for segment in segments:
        try:
            file = os.open(segment_path(folder, name, segment), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(file)
    return False


def read_piece(folder: Path, name: str, segment: int, offset: int, most: int) -> Piece:
    """What a segment holds from an offset on: the whole records among the next `most` bytes, one at least.

    Raises:
        OSError: it cannot be read.
    """
    file = os.open(segment_path(folder, name, segment), os.O_RDONLY | os.O_CLOEXEC)
    try:
        data = os.pread(file, most + USUAL_BYTES, offset)
        piece = _whole(data, offset, most)
        if piece.end - offset < most and len(data) == most + USUAL_BYTES:
            piece = _whole(os.pread(file, most + HEAD.size + MOST_BYTES, offset), offset, most)
    finally:
        os.close(file)
    return piece


def _whole(data: bytes, offset: int, most: int) -> Piece:
    rows: list[Row] = []
    size, head = len(data), HEAD.size
    # Records that are damaged are so only once good ones follow: till then they are the torn end.
    end = start = damaged = doubtful = 0
    while start < most and (begin := start + head) <= size:
        length, checksum = _unpack(data, start)
        # Zeros are what a file system leaves of what it never wrote.
        if not 0 < length <= MOST_BYTES or (after := begin + length) > size:
            break
        body, start = data[begin:after], after
        row = _row(body) if crc32(body) == checksum else None
        if row is None:
            doubtful += 1
            continue
        rows.append(row)
        end, damaged, doubtful = after, damaged + doubtful, 0
    return Piece(rows, offset + end, size - end, damaged)


def _row(body: bytes) -> Row | None:
    try:
        return _decode(body)
    except msgspec.DecodeError:
        return None
