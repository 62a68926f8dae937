"""What the client examples call: your own gateway, or one that is started for them.

`PENSTOCK_URL=http://127.0.0.1:8484 python examples/openai_client.py` uses the first. Without it, `served()` runs
`penstock serve` on free ports with the simulated provider, in an empty folder, as you would run it in another terminal.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

SERVE = (sys.executable, "-m", "penstock", "serve", "--port", "0", "--admin-port", "0")


@contextmanager
def served() -> Iterator[str]:
    """The address of a gateway, such as `http://127.0.0.1:8484`."""
    url = os.environ.get("PENSTOCK_URL")
    if url:
        yield url.rstrip("/")
        return
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(
            SERVE, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, encoding="utf-8"
        )
        assert process.stderr is not None
        try:
            yield next(found[1] for line in process.stderr if (found := re.search(r"gateway +(http://[^/]+)/v1", line)))
        finally:
            process.terminate()
            process.communicate()
