"""A budget that outlives the program: the library keeps the ledger that `penstock serve` keeps, in a file."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from penstock import BudgetExceeded, SyncPenstock


def ask(config: dict[str, Any], program: str) -> None:
    """One run of a program: everything it knows of the last one is in the file."""
    with SyncPenstock(config) as llm:
        try:
            reply = llm.generate("Say hello to the river.", user="u1", task="greeting")
            print(f"{program}: {reply.cost_usd} USD")
        except BudgetExceeded as error:
            print(f"{program}: {error.message}")


def main() -> None:
    # That a budget is used up is told by `logging`, and by a signed webhook where `alerts:` names one.
    logging.basicConfig(stream=sys.stdout, format="alert: %(message)s")
    with TemporaryDirectory() as folder:
        store = Path(folder, "penstock.db")
        config = {
            "providers": {"sim": {}},  # openai: {"api_key": "env:OPENAI_API_KEY"}
            "default_model": "sim/small",
            "state": f"sqlite:///{store}",  # without it nothing is written, and budgets begin at nothing each time
            "budgets": [{"scope": "user", "limit": "2 requests/day"}],
        }
        for program in ("first run", "second run", "third run"):
            ask(config, program)
        print(f"then: penstock usage --by user,task --store {store.name}")


if __name__ == "__main__":
    main()
