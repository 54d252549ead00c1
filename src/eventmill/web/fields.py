"""Types of the members of request bodies: each limit and pattern once, for the check and for the API's description.

From the Events API reference, whose `\\w` and `\\s` are ASCII there and unicode in Python: classes are written out. The
patterns are searched for, by Python and by any reader of the description, so each says where it begins and ends.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from eventmill.core.ruler import FILTER_CHARS_MAX
from eventmill.model import SchemaEnforcement

_END = r"$(?!\n)"
"""The end of the text: Python's `$` also stands before a last line break."""
_WORD = "A-Za-z0-9_"
_LABEL = _WORD + r" \-.(),@:'`?#!"
_LINES = r"\t\n\r"
_NO_CONTROL = r"[^\x00-\x1F\x7F-\x9F]"
_NO_CONTROL_BUT_LINES = r"[^\x00-\x08\x0B\x0C\x0E-\x1F\x7F-\x9F]"

ALLOWED, FORM = "allowed", "form"
"""What a refusal says of a pattern: which characters are allowed, or which form the text must have. Without either, it
names the forbidden character."""


def _text(
    shortest: int, longest: int, pattern: str, description: str, *, example: str = "", **wording: str
) -> msgspec.Meta:
    extra_schema: dict[str, Any] | None = {"examples": [example]} if example else None
    return msgspec.Meta(
        min_length=shortest,
        max_length=longest,
        pattern=f"^{pattern}{_END}",
        description=description,
        extra_json_schema=extra_schema,
        extra=wording,
    )


_LABEL_CHARACTERS = "letters, digits, blanks and -_.(),@:'`?#!"
_CODE_CHARACTERS = "letters, digits and -_."

Label = Annotated[
    str,
    _text(1, 255, f"[{_LABEL}]+", "Shown to people.", example="Warehouse", allowed=_LABEL_CHARACTERS),
]
ProviderDescription = Annotated[
    str,
    _text(
        0, 255, f"[{_LABEL}{_LINES}]*", "Left out or empty: that of the provider metadata.", allowed=_LABEL_CHARACTERS
    ),
]
EventDescription = Annotated[
    str,
    _text(
        1,
        255,
        f"[{_LABEL}{_LINES}]+",
        "What happened.",
        example="Stock fell under its floor",
        allowed=_LABEL_CHARACTERS,
    ),
]
_HOST = r"(([^/:.\x00-\x20\x7F-\x9F]+(\.[^/:.\x00-\x20\x7F-\x9F]+)*)|([0-9](\.[0-9]{3})))(:[0-9]+)?"
_PATH = r"((/[^?#\x00-\x20\x7F-\x9F]+)(\?[^#\x00-\x20\x7F-\x9F]+)?(#[^\x00-\x1F\x7F-\x9F]+)?)?/?"
DocsUrl = Annotated[
    str,
    _text(
        0,
        255,
        f"(https?://{_HOST}{_PATH})?",
        "Where the provider is documented.",
        example="https://docs.example/warehouse",
        form="an http or https URL",
    ),
]
FamilyId = Annotated[
    str,
    msgspec.Meta(min_length=1, max_length=255, description="Left out: 3rd_party_custom_events. Unknown ones are 404."),
]
InstanceId = Annotated[
    str,
    _text(
        0,
        255,
        rf"[{_WORD}\-:@./]*",
        "Unique within the provider metadata. Left out or empty: a random UUID for 3rd_party_custom_events.",
        allowed="letters, digits and -_:@./",
    ),
]
EventCode = Annotated[
    str,
    _text(
        1, 255, rf"[{_WORD}\-.]+", "The `type` of its events.", example="com.acme.stock.low", allowed=_CODE_CHARACTERS
    ),
]
SampleTemplate = Annotated[
    str,
    _text(
        0,
        87382,
        r"([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{2}==)?",
        "JSON of a sample event, as base64.",
        form="base64",
    ),
]
DataSchema = Annotated[
    dict[str, Any],
    msgspec.Meta(
        description="JSON Schema (draft 7, without references) of the data of its events; shown in AsyncAPI documents. "
        "Left out in a replacement: it stays. An addition to the Adobe API."
    ),
]
Enforcement = Annotated[
    SchemaEnforcement,
    msgspec.Meta(
        description="What happens to an event whose data do not fit the `data_schema` of its code: `warn` takes it and "
        "says so, `reject` refuses it, `off` does not look. Left out: it stays, and is off at first. An addition to "
        "the Adobe API."
    ),
]
DATA_SCHEMA_BYTES_MAX = 64 * 1024
NamedEventCode = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
NamedProviderId = Annotated[str, msgspec.Meta(min_length=1, max_length=38, description="The provider's id.")]
NamedProvider = Annotated[
    str, msgspec.Meta(min_length=1, max_length=1024, description="The provider's technical name, instead of its id.")
]
ClientId = Annotated[
    str,
    _text(3, 128, rf"[{_WORD}\-.]+", "Of a credential of the workspace.", allowed=_CODE_CHARACTERS),
]
RegistrationName = Annotated[
    str,
    _text(3, 255, f"{_NO_CONTROL}*", "Unique in the workspace.", example="Stock to ERP"),
]
RegistrationDescription = Annotated[str, _text(0, 5000, f"{_NO_CONTROL_BUT_LINES}*", "For people.")]
WebhookUrl = Annotated[
    str,
    _text(
        0,
        4000,
        r"[\x21-\x7E]*",
        "Absolute https URL. For webhook types, unless a runtime_action is given.",
        example="https://erp.example/hook",
        allowed="printable ASCII; percent-encode the rest",
    ),
]
CA_BUNDLE_CHARS_MAX = 32 * 1024
CaBundle = Annotated[
    str,
    msgspec.Meta(
        max_length=CA_BUNDLE_CHARS_MAX,
        description="PEM of the only certificate authorities that the webhook's certificate may stem from, instead of "
        "the usual ones; left out or empty: those.",
    ),
]
MAX_IN_FLIGHT_MOST = 1000
MaxInFlight = Annotated[
    int,
    msgspec.Meta(
        ge=1,
        le=MAX_IN_FLIGHT_MOST,
        description="Deliveries to it under way at once; at most, and unless given, what the gateway allows each "
        "registration. An addition of Eventmill.",
    ),
]
EVENTS_PER_SECOND_LEAST, EVENTS_PER_SECOND_MOST = 0.001, 1_000_000
EventsPerSecond = Annotated[
    float,
    msgspec.Meta(
        ge=EVENTS_PER_SECOND_LEAST,
        le=EVENTS_PER_SECOND_MOST,
        description="No more events are delivered to it per second, retries included; unless given, as many as it "
        "takes. An addition of Eventmill.",
    ),
]
_ACTION_NAME = rf"[{_WORD}][{_WORD}@ .\-]*"
"""As OpenWhisk names packages and actions."""
RuntimeAction = Annotated[
    str,
    _text(
        0,
        255,
        f"({_ACTION_NAME}/{_ACTION_NAME})?",
        "For webhook types, instead of a webhook_url.",
        example="warehouse/on-stock-low",
        form="<package>/<action>",
    ),
]
DeliveryTypeName = Annotated[
    str,
    msgspec.Meta(
        description="Taken in any case.",
        extra_json_schema={"enum": ["webhook", "webhook_batch", "journal", "aws_eventbridge"]},
    ),
]
AwsRegion = Annotated[
    str,
    _text(
        1, 32, "(us|ca|eu|af|ap|cn|me|sa|il)-[a-z]+-[0-9]", "", example="eu-west-1", form="an AWS region like eu-west-1"
    ),
]
AwsAccountId = Annotated[str, _text(12, 12, "[0-9]{12}", "", example="123456789012", form="12 digits")]
FilterName = Annotated[str, msgspec.Meta(min_length=3, max_length=80)]
FilterDescription = Annotated[str, msgspec.Meta(max_length=250, description="For people.")]
FilterText = Annotated[
    str,
    msgspec.Meta(
        max_length=FILTER_CHARS_MAX,
        description="The filter as JSON text; the filters guide has the operators.",
        examples=['{"data":{"stock":[{"numeric":["<",5]}]}}'],
    ),
]
