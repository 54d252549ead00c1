"""The console's static files, under names that hold a hash of what is in them: a browser asks for each once."""

from __future__ import annotations

import hashlib
from pathlib import Path

from eventmill.errors import GatewayError, Reason
from eventmill.ui.cookies import ROOT
from eventmill.web.http import Reply

_FOLDER = Path(__file__).parent / "static"
_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
_FOREVER = (b"cache-control", b"public, max-age=31536000, immutable")


class Assets:
    def __init__(self) -> None:
        self._by_name: dict[str, Reply] = {}
        self._names: dict[str, str] = {}
        for path in sorted(_FOLDER.iterdir()):
            if path.suffix in _TYPES:
                body = path.read_bytes()
                name = f"{path.stem}.{hashlib.sha256(body).hexdigest()[:12]}{path.suffix}"
                self._names[path.name] = f"{ROOT}/static/{name}"
                self._by_name[name] = Reply(200, body, _TYPES[path.suffix], (_FOREVER,))

    def url(self, file: str) -> str:
        return self._names[file]

    def reply(self, name: str) -> Reply:
        found = self._by_name.get(name)
        if found is None:
            raise GatewayError(Reason.NOT_FOUND, f"there is no file {name!r}")
        return found
