"""The bare server: the gateway's ASGI server with the gateway's settings, answering the same bytes and doing nothing.

    python bench/bare.py PORT [PAGE]

POST reads the body and answers `OK`. GET answers the stored answer in the file PAGE: a JSON array of header lines, a
line feed, the body.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import uvicorn
import uvloop

Message = dict[str, Any]
Headers = list[tuple[bytes, bytes]]

OK_HEADERS: Headers = [
    (b"content-type", b"text/plain;charset=UTF-8"),
    (b"content-length", b"2"),
    (b"x-request-id", b"0123456789abcdef0123456789abcdef"),
]


def load_page(path: Path) -> tuple[Headers, bytes]:
    head, _, body = path.read_bytes().partition(b"\n")
    return [(name.encode(), value.encode()) for name, value in json.loads(head)], body


def save_page(path: Path, headers: list[tuple[str, str]], body: bytes) -> None:
    path.write_bytes(json.dumps(headers).encode() + b"\n" + body)


def build_app(page: tuple[Headers, bytes]) -> Callable[..., Awaitable[None]]:
    async def app(
        scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        headers, body = page
        if scope["method"] == "POST":
            headers, body = OK_HEADERS, b"OK"
            while (await receive()).get("more_body"):
                pass
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return app


def main() -> None:
    page = load_page(Path(sys.argv[2])) if len(sys.argv) > 2 else (OK_HEADERS, b"OK")
    config = uvicorn.Config(
        build_app(page),
        port=int(sys.argv[1]),
        loop="none",
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=75,
    )
    uvloop.run(uvicorn.Server(config).serve())


if __name__ == "__main__":
    main()
