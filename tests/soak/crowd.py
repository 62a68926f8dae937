"""Thousands of callers that are slow on purpose: `crowd.py PORT COUNT SECONDS`, a third of each kind.

Some send a head, some a body, some read their answer, each a byte a second at its own time in the second. One that is
cut begins anew, so that there are as many all the time. Prints how many there were and were cut, and which part of
their bytes came when they should, as JSON.

It lets others go first: who is measured shares its core.
"""

from __future__ import annotations

import json
import os
import select
import socket
import sys
import time

HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
WANTED = json.dumps({"model": "long/large", "stream": True, "messages": [{"role": "user", "content": "x"}]}).encode()
SLICES = 500
NICE = 19
ESTABLISHED = 1  # Linux, include/net/tcp_states.h


class Slow:
    """One of them.

    Args:
        kind: `head`, `body` or `reader`.
    """

    def __init__(self, port: int, kind: str) -> None:
        self.kind = kind
        self._port = port
        self._sent = 0
        self._socket = self._open()

    def _open(self) -> socket.socket:
        made = socket.socket()
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        made.connect(("127.0.0.1", self._port))
        made.setblocking(False)
        if self.kind == "body":
            made.send(HEAD + b"content-length: 100000\r\n\r\n")
        elif self.kind == "reader":
            made.send(HEAD + b"content-length: %d\r\n\r\n%b" % (len(WANTED), WANTED))
        self._sent = 0
        return made

    def step(self) -> bool:
        """A second's byte; whether it was cut."""
        try:
            if self.kind == "reader":
                # What has come can still be read after a reset, so the connection itself is asked.
                info = self._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)
                alive = bool(self._socket.recv(1)) and info[0] == ESTABLISHED
            else:
                piece = HEAD[self._sent % len(HEAD) :][:1] if self.kind == "head" else b"x"
                self._socket.send(piece)
                self._sent += 1
                alive = False
                self._socket.recv(1024)  # a 408, or the end
        except BlockingIOError:
            return False
        except OSError:
            alive = False
        if not alive:
            self._socket.close()
            self._socket = self._open()
        return not alive


def main() -> None:
    port, count, seconds = map(int, sys.argv[1:])
    os.nice(NICE)
    kinds = ("head", "body", "reader")
    crowd = [Slow(port, kinds[number % 3]) for number in range(count)]
    print("ready", flush=True)
    cut = dict.fromkeys(kinds, 0)
    began = time.monotonic()
    turn = 0
    while time.monotonic() - began < seconds:
        for slow in crowd[turn % SLICES :: SLICES]:
            cut[slow.kind] += slow.step()
        turn += 1
        select.select([], [], [], max(0.0, began + turn / SLICES - time.monotonic()))
    print(json.dumps({"sockets": count, "cut": cut, "kept": turn / SLICES / seconds}), flush=True)


if __name__ == "__main__":
    main()
