"""What a call of the client can end with: one tree of errors, a class per reason to act differently.

ClientError
├── NoAnswer            nothing answered, or the connection broke
├── BadAnswer           something answered that is not the service
└── Refused             the service said no: `status`, `request_id`, `message`
    ├── BadRequest      400, 413, 415, 422      the request is wrong: sending it again does not help
    ├── Unauthorized    401                     the token
    ├── Forbidden       403                     the api key, the organization
    ├── NotFound        404
    ├── Conflict        409                     `conflicting_id`
    ├── PositionExpired 410                     the journal has dropped events after the position
    ├── Throttled       429                     `retry_after_s`
    └── ServerFailed    5xx
"""

from __future__ import annotations

from http import HTTPStatus


class ClientError(Exception):
    """Whatever the client raises of its own."""


class NoAnswer(ClientError):
    """Nothing listens there, the name is unknown, it took too long, or the connection broke."""


class BadAnswer(ClientError):
    """A status that says yes with a body that cannot be read: a proxy or a sign-in page, perhaps."""


class Refused(ClientError):
    """The service answered, and said no. Shows neither tokens nor keys."""

    def __init__(
        self,
        operation: str,
        status: int,
        message: str = "",
        *,
        request_id: str = "",
        retry_after_s: float | None = None,
    ) -> None:
        self.operation = operation
        """The method of the client that was refused, such as `get_provider`."""
        self.status = status
        self.message = message
        """What the service said; empty when it said nothing."""
        self.request_id = request_id
        """For whoever asks support."""
        self.retry_after_s = retry_after_s
        self.conflicting_id = ""
        super().__init__(f"{operation}: {status} {_phrase(status)}" + (f": {message}" if message else ""))


class BadRequest(Refused):
    """The request is wrong: sending it again does not help."""


class Unauthorized(Refused):
    """No token, or one that is not good (any more)."""


class Forbidden(Refused):
    """The token is good, but the api key or the organization is not its own."""


class NotFound(Refused):
    """There is no such thing, or it is not yours."""


class Conflict(Refused):
    """It exists already: see `conflicting_id`, where the service names it."""


class PositionExpired(Refused):
    """The journal has dropped events after the position ("Journaling API": they are kept for seven days)."""


class Throttled(Refused):
    """Too many requests, also after the retries; `retry_after_s` says when to come back, where the service does."""


class ServerFailed(Refused):
    """The service failed, also after the retries."""


_CLASSES: dict[int, type[Refused]] = {
    400: BadRequest,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: PositionExpired,
    413: BadRequest,
    415: BadRequest,
    422: BadRequest,
    429: Throttled,
}


def refusal_class(status: int) -> type[Refused]:
    return _CLASSES.get(status, ServerFailed if status >= 500 else Refused)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""
