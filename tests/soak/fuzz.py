"""One target under atheris, as a process of its own, since it never gives control back: `fuzz.py TARGET RUNS FOLDER`.

https://github.com/google/atheris: it learns from which lines an input reaches, and so gets further than chance.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["penstock"]):
    from tests.wire.fuzzed import CORPUS, TARGETS, within_reason


# Longer inputs are slower and, for these readers, no more telling.
LONGEST = {"events": 400, "streams": 600, "requests": 800}


def main() -> None:
    """Fuzz until something is wrong or all runs are done; the input that did it stays in the folder."""
    name, runs, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    corpus = folder / name
    corpus.mkdir()
    for number, data in enumerate(CORPUS[name]):
        (corpus / f"{number}").write_bytes(data)
    check = TARGETS[name]
    options = [
        f"-runs={runs}", "-seed=1", f"-max_len={LONGEST.get(name, 2000)}", "-rss_limit_mb=1024", "-timeout=5",
        "-verbosity=0", "-print_final_stats=1", f"-artifact_prefix={folder}/",
    ]  # fmt: skip
    atheris.Setup([sys.argv[0], *options, str(corpus)], lambda data: within_reason(check, data))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
