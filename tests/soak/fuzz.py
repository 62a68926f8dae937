"""One target under atheris, a process of its own, since it never gives control back: `fuzz.py TARGET RUNS SEED FOLDER`.

https://github.com/google/atheris: it learns from which lines an input reaches, and so gets further than chance. What
got somewhere new stays in the folder's `corpus`; `fuzz_on.py` goes on from there.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["penstock"]):
    from tests.wire.fuzzed import CORPUS, LONGEST, TARGETS, within_reason


def main() -> None:
    """Fuzz until something is wrong or all runs are done; the input that did it stays in the folder."""
    name, runs, seed, folder = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])
    corpus = folder / "corpus"
    corpus.mkdir()
    for number, data in enumerate(CORPUS[name]):
        (corpus / f"{number}").write_bytes(data)
    check = TARGETS[name]
    options = [
        f"-runs={runs}", f"-seed={seed}", f"-max_len={LONGEST.get(name, 2000)}", "-rss_limit_mb=1024", "-timeout=5",
        "-verbosity=0", "-print_final_stats=1", f"-artifact_prefix={folder}/",
    ]  # fmt: skip
    atheris.Setup([sys.argv[0], *options, str(corpus)], lambda data: within_reason(check, data))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
