"""Penstock inside an application that has a server already: mounted under a path, beside the application's own routes.

Any ASGI framework does; here it is Starlette, which Penstock brings along, as it does uvicorn.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from penstock import Penstock
from penstock.server import asgi_app

llm = asgi_app({"auth": "open", "providers": {"sim": {}}, "log": {"to": "none"}})


async def home(_: Request) -> PlainTextResponse:
    """The application's own route."""
    return PlainTextResponse("The mill's own page.")


@asynccontextmanager
async def lifespan(_: Starlette) -> AsyncIterator[None]:
    """A mount is not told when the server ends, so the application closes it."""
    yield
    await llm.aclose()


app = Starlette(routes=[Route("/", home), Mount("/llm", llm)], lifespan=lifespan)


async def main() -> None:
    # In earnest: `uvicorn asgi_mount:app`. Here on a free port, for as long as one call takes.
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    serving = asyncio.create_task(server.serve([listener]))
    async with Penstock.connect(f"{url}/llm") as client:
        reply = await client.generate("How is the water?", model="sim/small")
        print(f"{url}/llm says: {reply.text}")
    server.should_exit = True
    await serving


if __name__ == "__main__":
    asyncio.run(main())
