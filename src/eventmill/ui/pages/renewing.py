"""Parts of pages that renew themselves: their HTML, sent whenever it changes, to so many readers at once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from eventmill.errors import GatewayError, Reason
from eventmill.ui.live import live_reply
from eventmill.ui.visit import Visit
from eventmill.web.http import Reply

_STREAMS_MAX = 200


def renew(visit: Visit, make: Callable[[], Awaitable[str]]) -> Reply:
    """`make`: the HTML as it is now. Raises `TOO_MANY_READERS`."""
    console = visit.console
    if console.live_streams >= _STREAMS_MAX:
        raise GatewayError(Reason.TOO_MANY_READERS, f"{_STREAMS_MAX} pages renew themselves already")

    def left() -> None:
        console.live_streams -= 1

    console.live_streams += 1
    return live_reply(visit.parts, make, left)
