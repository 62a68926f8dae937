"""One target on inputs that are like those that led somewhere: `fuzz_on.py TARGET RUNS SEED FOLDER`, after `fuzz.py`.

Nothing is learned here, and nothing is watched: that takes three quarters of the time where a case is dear.
"""

from __future__ import annotations

import faulthandler
import resource
import sys
from pathlib import Path
from random import Random

from tests.wire.fuzzed import LONGEST, TARGETS, within_reason

__all__ = ["made_up"]

# One that never ends is found by this: so many seconds for so many cases.
HANG_SECONDS, TOGETHER = 120, 1000
MEMORY = 2**31
# What the readers look for.
_TOKENS = (
    b"\n", b"\r\n", b"\r", b"\n\n", b":", b"data: ", b"event: ", b"[DONE]", b"data: [DONE]\n\n", b"{", b"}", b"[", b"]",
    b'"', b"\\", b"\\ud83d", b"null", b"true", b"-1", b"1e999", b"99999999999999999999", b'"type":', b'"error":',
    b'"delta":', b'"usage":', b'"index":', b"\xef\xbb\xbf", b"\xff", b"\0",
)  # fmt: skip


def made_up(random: Random, corpus: list[bytes], longest: int) -> bytes:
    """An input like one of those, in a few places another."""
    data = bytearray(random.choice(corpus))
    for _ in range(random.choice((1, 1, 2, 3, 5, 8))):
        at = random.randrange(len(data) + 1)
        end = at + random.choice((0, 1, 2, random.randrange(8), random.randrange(80)))
        way = random.randrange(6)
        if way == 0:  # something else stands there
            data[at:end] = random.randbytes(min(end, len(data)) - at)
        elif way == 1:  # it is not there
            del data[at:end]
        elif way == 2:  # it is there twice
            data[at:at] = data[at:end]
        elif way == 3:
            data[at:end] = random.choice(_TOKENS)
        elif way == 4:  # one bit
            if at < len(data):
                data[at] ^= 1 << random.randrange(8)
        else:  # a piece of another
            other = random.choice(corpus)
            begin = random.randrange(len(other) + 1)
            data[at:end] = other[begin : begin + random.randrange(200)]
    return bytes(data[:longest])


def main() -> None:
    """Go on until something is wrong or all runs are done; the input that did it stays in the folder."""
    name, runs, seed, folder = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    corpus = [file.read_bytes() for file in sorted((folder / "corpus").iterdir())]
    check, random, longest = TARGETS[name], Random(seed), LONGEST.get(name, 2000)
    for number in range(runs):
        if number % TOGETHER == 0:
            faulthandler.dump_traceback_later(HANG_SECONDS, exit=True)
        data = made_up(random, corpus, longest)
        try:
            within_reason(check, data)
        except BaseException:
            (folder / "crash-on").write_bytes(data)
            raise
    faulthandler.cancel_dump_traceback_later()
    print(f"number_of_executed_units: {runs}")


if __name__ == "__main__":
    main()
