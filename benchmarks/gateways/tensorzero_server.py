"""TensorZero's embedded gateway over HTTP: run by the Python of its own environment, with its configuration's path.

It is the gateway that `patch_openai_client` of the `tensorzero` package starts, which listens on a port of its choice
on 127.0.0.1. That port is printed as `listening PORT`.
"""

import signal
import sys

from tensorzero.tensorzero import _start_http_gateway

gateway = _start_http_gateway(
    config_file=sys.argv[1], clickhouse_url=None, postgres_url=None, valkey_url=None, async_setup=False
)
print("listening", gateway.base_url.split(":")[2].split("/")[0], flush=True)
signal.pause()
