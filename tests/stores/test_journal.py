"""A worker's journal: what is written is read, what is torn is not, and what fails is said before anything is sent."""

from __future__ import annotations

import os
import resource
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from penstock.stores.journal import Journal, segment_path
from penstock.stores.journal_reader import Row, journals_in, read_piece
from penstock.stores.rows import Closed, Heard, Opened

LARGE = 1 << 30


def opened(request: str) -> Opened:
    return Opened(request, 1, 5, "fast", "sim/small", "sim")


def closed(request: str) -> Closed:
    return Closed(request, 1, 9)


def read_all(folder: Path, name: str = "w") -> list[Row]:
    return [
        row for segment in journals_in(folder).get(name, []) for row in read_piece(folder, name, segment, 0, LARGE).rows
    ]


def requests(rows: list[Row]) -> list[tuple[str, str]]:
    return [(type(row).__name__, row.request) for row in rows]


@contextmanager
def largest_file(limit: int) -> Iterator[None]:
    """Writing fails beyond so many bytes of a file, as it does on a full disk: short first, then not at all."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_what_is_written_is_read_in_order(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j", "w")
    journal.open(opened("a"))
    journal.heard(Heard("a", 1, 7, 3, 100))
    journal.open(opened("b"))
    journal.close(closed("a"))
    rows = read_all(tmp_path / "j")
    assert rows == [opened("a"), Heard("a", 1, 7, 3, 100), opened("b"), closed("a")]
    journal.end()


def test_each_record_is_there_before_the_call_returns(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "w")
    for number in range(3):
        journal.open(opened(str(number)))
        assert len(read_all(tmp_path)) == number + 1
    journal.end()


def test_nobody_else_may_read_it(tmp_path: Path) -> None:
    Journal(tmp_path / "j", "w").end()
    assert stat.S_IMODE((tmp_path / "j").stat().st_mode) == 0o700
    assert stat.S_IMODE(segment_path(tmp_path / "j", "w", 1).stat().st_mode) == 0o600


def test_a_name_is_used_once(tmp_path: Path) -> None:
    Journal(tmp_path, "w").end()
    with pytest.raises(FileExistsError):
        Journal(tmp_path, "w")


def test_reading_goes_on_where_it_ended(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "w")
    offset = 0
    found: list[Row] = []
    for number in range(50):
        journal.open(opened(str(number)))
        if number % 7 == 0:
            piece = read_piece(tmp_path, "w", 1, offset, LARGE)
            offset, found = piece.end, found + piece.rows
    found += read_piece(tmp_path, "w", 1, offset, LARGE).rows
    assert [row.request for row in found] == [str(number) for number in range(50)]
    journal.end()


def test_a_piece_is_about_as_large_as_asked_for(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "w")
    for number in range(20):
        journal.open(opened(str(number)))
    size = segment_path(tmp_path, "w", 1).stat().st_size // 20
    assert len(read_piece(tmp_path, "w", 1, 0, 1).rows) == 1
    assert 3 <= len(read_piece(tmp_path, "w", 1, 0, 3 * size).rows) <= 4
    journal.end()


def test_a_record_that_is_larger_than_most_is_read_with_those_before_it(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "w")
    for request in ("a", "b" * 100_000, "c"):
        journal.open(opened(request))
    piece = read_piece(tmp_path, "w", 1, 0, 1000)
    assert [row.request[0] for row in piece.rows] == ["a", "b"]
    journal.end()


@pytest.mark.parametrize("tail", [b"", b"\0" * 64, b"\xff" * 64])
def test_a_torn_end_is_told_at_every_length(tmp_path: Path, tail: bytes) -> None:
    journal = Journal(tmp_path, "w")
    journal.open(opened("a"))
    path = segment_path(tmp_path, "w", 1)
    whole = path.stat().st_size
    journal.open(opened("b"))
    journal.end()
    data = path.read_bytes()
    for length in range(whole, len(data)):
        path.write_bytes(data[:length] + tail)
        piece = read_piece(tmp_path, "w", 1, 0, LARGE)
        assert requests(piece.rows) == [("Opened", "a")]
        assert (piece.end, piece.rest, piece.damaged) == (whole, length - whole + len(tail), 0)


def test_a_damaged_record_is_passed_over_and_counted(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "w")
    for request in "abc":
        journal.open(opened(request))
    journal.end()
    path = segment_path(tmp_path, "w", 1)
    data = bytearray(path.read_bytes())
    third = len(data) // 3
    for byte in range(third + 8, 2 * third):
        path.write_bytes(data[:byte] + bytes([data[byte] ^ 1]) + data[byte + 1 :])
        piece = read_piece(tmp_path, "w", 1, 0, LARGE)
        assert requests(piece.rows) == [("Opened", "a"), ("Opened", "c")]
        assert (piece.rest, piece.damaged) == (0, 1)


# --- segments


def test_segments_follow_each_other(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "w", segment_bytes=300)
    for number in range(40):
        journal.open(opened(str(number)))
        journal.close(closed(str(number)))
    segments = journals_in(tmp_path)["w"]
    assert segments == list(range(1, len(segments) + 1))
    assert len(segments) > 5
    assert all(segment_path(tmp_path, "w", one).stat().st_size < 600 for one in segments)
    assert [row.request for row in read_all(tmp_path)] == [str(n) for n in range(40) for _ in range(2)]
    journal.end()


def test_a_journal_that_nobody_folds_is_bounded_and_goes_on_once_somebody_does(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "w", segment_bytes=300, most_segments=3)

    def fill() -> None:
        for count in range(1000):
            journal.open(opened(str(count)))

    with pytest.raises(OSError, match="is full: the ledger takes nothing"):
        fill()
    assert len(journals_in(tmp_path)["w"]) == 3
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 3 * 600
    journal.close(closed("0"))  # what is over is told all the same
    with pytest.raises(OSError, match="is full"):
        journal.open(opened("x"))
    segment_path(tmp_path, "w", 1).unlink()
    journal.open(opened("x"))
    assert requests(read_all(tmp_path))[-2:] == [("Closed", "0"), ("Opened", "x")]
    journal.end()


def test_other_files_are_none_of_its_business(tmp_path: Path) -> None:
    for name in ("notes.txt", "w.journal", "w.x.journal", ".00000001.journal"):
        (tmp_path / name).touch()
    assert journals_in(tmp_path) == {}
    assert journals_in(tmp_path / "none") == {}


# --- a full disk


def test_an_opening_that_does_not_fit_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "w")
    journal.open(opened("a"))
    size = segment_path(tmp_path, "w", 1).stat().st_size
    for room in range(size):
        with largest_file(size + room), pytest.raises(OSError):
            journal.open(opened("b"))
        assert segment_path(tmp_path, "w", 1).stat().st_size == size
    journal.open(opened("c"))
    assert requests(read_all(tmp_path)) == [("Opened", "a"), ("Opened", "c")]
    journal.end()


def test_an_end_that_does_not_fit_is_owed_and_nothing_is_opened_before_it_is_written(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "w")
    journal.open(opened("a"))
    journal.open(opened("b"))
    size = segment_path(tmp_path, "w", 1).stat().st_size
    with largest_file(size + 5):
        journal.close(closed("a"))
        journal.close(closed("b"))
        journal.heard(Heard("b", 1, 7, 3))
        assert journal.owed == 2
        with pytest.raises(OSError):
            journal.open(opened("c"))
        assert journal.owed == 2
    journal.open(opened("c"))
    assert journal.owed == 0
    assert requests(read_all(tmp_path))[2:] == [("Closed", "a"), ("Closed", "b"), ("Opened", "c")]
    journal.end()


def test_what_is_owed_is_written_at_the_end(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "w")
    journal.open(opened("a"))
    with largest_file(segment_path(tmp_path, "w", 1).stat().st_size):
        journal.close(closed("a"))
    journal.end()
    assert requests(read_all(tmp_path)) == [("Opened", "a"), ("Closed", "a")]


def test_with_power_each_record_is_on_the_disk(tmp_path: Path) -> None:
    # What fsync does cannot be seen from here; that it is asked of this file can: of a pipe it is refused.
    journal = Journal(tmp_path, "w", power=True)
    journal.open(opened("a"))
    assert len(read_all(tmp_path)) == 1
    reading, writing = os.pipe()
    os.dup2(writing, journal._file)
    with pytest.raises(OSError, match="Invalid argument"):
        journal.open(opened("b"))
    assert len(os.read(reading, LARGE)) > 0
    for descriptor in (reading, writing):
        os.close(descriptor)
