"""`sim`: a provider that needs no key and no network, for the demo, for tests and for users' own tests.

It speaks OpenAI's chat completions, embeddings and models and Anthropic's messages, token counts and models over
HTTP/1.1 on any asyncio transport, answers from a seed, keeps time by a `Clock`, and fails on request: see `script.py`
for the faults.
"""

from __future__ import annotations

from penstock.providers.simulated.journal import Journal, Seen
from penstock.providers.simulated.models import MODELS
from penstock.providers.simulated.provider import SimulatedProvider
from penstock.providers.simulated.script import HEADER, KEYS, ScriptError, parse_script

__all__ = ["HEADER", "KEYS", "MODELS", "Journal", "ScriptError", "Seen", "SimulatedProvider", "parse_script"]
