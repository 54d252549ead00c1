"""Parameters that several endpoints share, and the parameters of paths."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated

import msgspec

from eventmill.web.endpoint import Answer, Parameter

_Segment = Annotated[str, msgspec.Meta(min_length=1)]

PATH: Mapping[str, tuple[object, str]] = MappingProxyType(
    {
        "org": (_Segment, "The organization's id, a short number; not its IMS organization id."),
        "project": (_Segment, "The project's id."),
        "workspace": (_Segment, "The workspace's id."),
        "credential": (_Segment, "The credential's id, which the Console API also calls integration."),
        "provider": (_Segment, "The provider's id."),
        "code": (_Segment, "The event code."),
        "user": (_Segment, "The user's name."),
        "sdk": (_Segment, "The code of a service."),
        "registration": (_Segment, "The registration's `registration_id`."),
        "filter": (_Segment, "The filter's id."),
        "client": (_Segment, "The client id, which is the api key."),
        "replay": (_Segment, "The replay's id."),
        "event": (
            _Segment,
            "The event's id in the gateway: `eventid` of the event, `x-adobe-event-id` of its delivery.",
        ),
        "attempt": (_Segment, "The attempt's id, as its trace has it."),
        "cursor": (_Segment, "The cursor's name: letters, digits and -_."),
        "type": (_Segment, "The credential's type, like oauth_server_to_server; not looked at."),
        "secret": (_Segment, "The secret's `uuid`."),
        "binding": (_Segment, "The public key's `bindingId`."),
        "file": (_Segment, "`pub-key-<uuid>.pem`, as the delivery's headers have it."),
        "mail": (_Segment, "The mail's id."),
        "namespace": (_Segment, "Any."),
        "key": (_Segment, "`pub-key-<uuid>.pem`, as the delivery's headers have it."),
    }
)
"""Every parameter that a path may have. An id that does not exist, whatever it looks like, is 404."""

WORKSPACE = "/events/{org}/{project}/{workspace}"
"""Where the Events API keeps what belongs to a workspace."""

WITH_METADATA = Parameter("eventmetadata", bool, "Whether event metadata are embedded.")

CALLER_HEADERS = (
    Parameter(
        "x-ims-org-id",
        str,
        "The IMS organization id; must be the token's. For tokens of the operator, the organization acted for.",
        "header",
    ),
    Parameter("x-gw-ims-org-id", str, "The same as x-ims-org-id.", "header"),
)

KNOWN_TAG = Parameter("if-none-match", str, "The ETag of what is known already.", "header")
NOT_MODIFIED = Answer(304, headers=("ETag",), about="It is as it was.")
