"""What became of one exchange with a destination, as it is judged, traced and measured. Decides nothing."""

from __future__ import annotations

import msgspec

from eventmill.core.eventbridge import BusForm
from eventmill.core.openwhisk import ActionForm
from eventmill.send.webhook import Request, Response
from eventmill.store.log import StoredEvent


class Sent(msgspec.Struct, frozen=True):
    """An exchange, or the part of one, that had one outcome for these events."""

    events: tuple[StoredEvent, ...]
    request: Request
    """As traces may show it."""
    response: Response
    form: ActionForm | BusForm | None = None
    """How the body of the request is made from the events; None: as a webhook's."""
