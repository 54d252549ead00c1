"""The gateway's nouns as frozen structs, named as in the Adobe I/O Events API reference.

These are the stored documents: parsed once at the edge, trusted inside. Wire shapes (HAL links, camelCase members)
belong to `web/`; nothing here knows HTTP.
"""

from __future__ import annotations

from typing import Literal, NewType

import msgspec

OrgId = NewType("OrgId", str)
"""The consumer organization id, a short decimal string (`project.org.id`)."""

Lane = NewType("Lane", int)
"""One registration's way out. Equals the registration's numeric `id`; never reused."""

DeliveryType = Literal["webhook", "webhook_batch", "journal", "aws_eventbridge"]
DeliveryFormat = Literal["cloud_events_v1", "adobe_io"]
SchemaEnforcement = Literal["off", "warn", "reject"]
"""What happens to an event whose data does not fit the schema of its event code."""
WebhookStatus = Literal["accepted", "verified", "unstable", "hook_unreachable", "verification_failed"]
Region = Literal["VA6", "IRL1"]

_HOST_LABEL = "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_ATOM = "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
MAIL_ADDRESS = rf"^{_ATOM}(\.{_ATOM})*@{_HOST_LABEL}(\.{_HOST_LABEL})*$(?!\n)"
"""Pattern of an address that mails go to or come from (RFC 5321): ASCII, without quotes, comments or a name."""
MAIL_ADDRESS_CHARS_MAX = 254

BUILTIN_ORG = OrgId("")
"""Owns the built-in providers. No caller acts for it; every organization may subscribe to what it publishes."""
BUILTIN_PUBLISHER = "Adobe"

CUSTOM_EVENTS = "3rd_party_custom_events"
"""The provider metadata (family) under which organizations register their own providers."""


class Doc(msgspec.Struct, frozen=True, kw_only=True):
    """Base of every stored document; encoded as JSON, decoded with `msgspec.json`."""


class Organization(Doc, frozen=True, kw_only=True):
    id: OrgId
    ims_org_id: str
    name: str
    notice_recipients: tuple[str, ...] = ()
    """Mail addresses that its notices go to; none: those of the settings."""


class Project(Doc, frozen=True, kw_only=True):
    id: str
    org: OrgId
    name: str
    title: str = ""
    description: str = ""
    pause_notices: bool = False
    """Nobody is told of its registrations."""


class Workspace(Doc, frozen=True, kw_only=True):
    id: str
    org: OrgId
    project_id: str
    name: str
    title: str = ""
    description: str = ""


CredentialKind = Literal["oauth_server_to_server", "jwt"]


class Credential(Doc, frozen=True, kw_only=True):
    """What a program signs in with; `client_id` is the api key. Secrets are sealed (`store.seal`)."""

    id: str
    org: OrgId
    project_id: str
    workspace_id: str
    name: str
    client_id: str
    sealed_secret: str
    """The current one: signs deliveries (`x-adobe-signature`)."""
    earlier_secrets: tuple[str, ...] = ()
    """Sealed; still good for tokens until they are removed. Newest first."""
    kind: CredentialKind = "oauth_server_to_server"
    public_keys: tuple[str, ...] = ()
    """PEM, certificates or bare keys (read by `web.certificates.public_key`); what a `jwt` credential's assertions may
    be signed with."""
    revoked_before_ms: int = 0
    """Tokens issued to this client earlier than this machine time are void."""

    @property
    def technical_account_id(self) -> str:
        """Who acts with it: the subject of its assertions, the user of its tokens."""
        return f"{self.id}@techacct.adobe.com"

    @property
    def sealed_secrets(self) -> tuple[str, ...]:
        """All that are good for tokens, newest first."""
        return (self.sealed_secret, *self.earlier_secrets)


class Provider(Doc, frozen=True, kw_only=True):
    id: str
    org: OrgId
    project_id: str
    workspace_id: str
    label: str
    description: str
    docs_url: str | None
    provider_metadata: str
    instance_id: str
    event_delivery_format: DeliveryFormat
    data_residency_region: Region
    schema_enforcement: SchemaEnforcement = "off"


class EventMetadata(Doc, frozen=True, kw_only=True):
    org: OrgId
    provider_id: str
    event_code: str
    label: str
    description: str
    sample_event_template: str | None
    data_schema: str | None = None
    """JSON Schema of `data`, as JSON text."""


class SchemaVersion(msgspec.Struct, frozen=True, kw_only=True):
    """What the schema of an event code was from a change on."""

    number: int
    """From 1; never used again while the event code exists."""
    data_schema: str | None
    """None: it was taken away."""
    changed_ms: int = 0
    """0: unknown, from before there were versions."""
    client_id: str = ""
    """Who changed it; likewise."""


class SchemaHistory(Doc, frozen=True, kw_only=True):
    """Of an event code; lives and dies with its event metadata."""

    org: OrgId
    provider_id: str
    event_code: str
    versions: tuple[SchemaVersion, ...]
    """The newest last; the oldest ones are dropped."""


class EventOfInterest(msgspec.Struct, frozen=True, order=True):
    provider_id: str
    event_code: str


class EventBridgeDestination(msgspec.Struct, frozen=True):
    """`destination_metadata` of an `aws_eventbridge` registration."""

    aws_region: str
    aws_account_id: str


class Validation(msgspec.Struct, frozen=True, kw_only=True):
    """The link that its webhook's last challenge led to, to be opened once ("Asynchronous validation")."""

    secret_sha256: str
    """Hex; whoever knows the secret may validate, so it is not stored."""
    deadline_ms: int
    """On `Clock.patient_ms`."""
    opened: bool = False


class SubscriberFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Of a registration: which of the events that it is interested in it gets."""

    id: str
    name: str
    description: str
    subscriber_filter: str
    """JSON, as given; `core.ruler` compiles it."""


class Registration(Doc, frozen=True, kw_only=True, gc=False):
    id: Lane
    registration_id: str
    org: OrgId
    project_id: str
    workspace_id: str
    client_id: str
    name: str
    description: str
    events_of_interest: tuple[EventOfInterest, ...]
    delivery_type: DeliveryType
    webhook_url: str | None
    ca_bundle: str | None = None
    """PEM of the only certificate authorities that the webhook's certificate may stem from; None: the system's."""
    max_in_flight: int | None = None
    """Attempts under way at once; None: `Config.lane_in_flight_max`."""
    events_per_second: float | None = None
    """What its deliveries may not exceed; None: no such limit."""
    runtime_action: str | None = None
    """`<package>/<action>`; then `webhook_url` is None."""
    retry_url: str | None = None
    """The webhook it had before it was pushed to nothing: where its scheduled retries still go."""
    retry_ca_bundle: str | None = None
    """That webhook's."""
    retry_action: str | None = None
    """The Runtime action, likewise."""
    retry_destination: EventBridgeDestination | None = None
    """The event bus, likewise."""
    destination_metadata: EventBridgeDestination | None = None
    subscriber_filters: tuple[SubscriberFilter, ...] = ()
    """At most one; none: it gets all of them."""
    enabled: bool
    webhook_status: WebhookStatus
    validation: Validation | None = None
    """Replaced by the next challenge. While its status is `accepted`, the registration waits for it."""
    status_since_ms: int = 0
    """When the outcomes of its attempts last changed `webhook_status`; 0: they never did."""
    created_ms: int
    updated_ms: int


class Notice(Doc, frozen=True, kw_only=True):
    """A registration became `unstable` or `hook_unreachable`: written with that change, deleted by whoever told those
    concerned."""

    id: str
    org: OrgId
    project_id: str
    workspace_id: str
    registration_id: str
    name: str
    before: WebhookStatus
    after: WebhookStatus
    at_ms: int
    attempts: int
    """In the 24 hours before, as far as they count."""
    failed: int
    told: tuple[str, ...] = ()
    """Mail addresses that are done with: their server took the mail, or refused it for good."""
    claimed_by: int = 0
    """Term (`store.base.Store.presidency`) of the process that began to send its mail last."""
    claimed_ms: int = 0
    """When that was; machine time."""


class Cursor(Doc, frozen=True, kw_only=True):
    """How far a reader of a registration's journal has come, kept for it under a name."""

    org: OrgId
    registration_id: str
    name: str
    position: str
    changed_ms: int
    """When the position was last written."""
    born: str
    """Tells it from an earlier one of the same name."""
    holder: str = ""
    """Who last had the lease; empty: nobody ever had."""
    fence: int = 0
    """Number of that lease: only who knows the newest may move the cursor."""
    lease_until_ms: int = 0
    """Machine time."""


ReplayState = Literal["running", "paused", "done", "cancelled"]
ReplayScope = Literal["undelivered", "all"]


class Replay(Doc, frozen=True, kw_only=True):
    """A job that delivers events of a registration again, in the order of their positions (an addition of ours)."""

    id: str
    """UUID; the units it hands out carry it."""
    org: OrgId
    registration_id: str
    lane: Lane
    state: ReplayState
    """`done` once every event was handed out and had its first attempt; retries of some may still be scheduled."""
    reason: str = ""
    """Why it was paused or cancelled by the gateway itself; empty when a caller did that."""
    scope: ReplayScope
    causes: tuple[str, ...] = ()
    """Of undelivered events: only those for these causes; none: for any."""
    events_per_second: float | None = None
    after_seq: int
    to_seq: int
    """Positions in (after_seq, to_seq], as its range was understood when it was made."""
    cursor: int
    """Everything up to here is handed out, or not for it to send."""
    next_ms: int = 0
    """Business time before which `events_per_second` lets nothing be handed out."""
    total: int
    """Events to replay when it was made."""
    created_ms: int
    updated_ms: int


class SigningKey(Doc, frozen=True, kw_only=True):
    """A delivery signing key pair; the private PEM is sealed, the public PEM is served under `/prod/keys/`."""

    id: str
    public_pem: str
    sealed_private_pem: str
    created_ms: int
    purpose: Literal["delivery", "token"]


class Revocation(Doc, frozen=True, kw_only=True):
    """Voids access and refresh tokens before their time."""

    id: str
    """A token's fingerprint, or the subject (client and user) of many; hashes both."""
    org: OrgId
    before_ms: int
    """Tokens issued earlier than this machine time are void."""
    expires_ms: int
    """When the last of them would have expired anyway; then this goes."""


Role = Literal["viewer", "developer", "admin"]
"""Of a person in the console: who reads, who also writes, who also runs the gateway."""


class User(Doc, frozen=True, kw_only=True):
    """A person who signs in to the console; belongs to the installation, not to an organization."""

    name: str
    role: Role
    orgs: tuple[OrgId, ...] = ()
    """What the person may see; none: every organization."""
    password_hash: str
    """As `web.passwords` makes it."""
    sessions_after_ms: int = 0
    """Sessions that began before this machine time are void."""
    created_ms: int


class Session(Doc, frozen=True, kw_only=True):
    """Of a person who signed in. Times are machine time."""

    id: str
    """Hash of what the browser's cookie holds."""
    user: str
    role: Role | None = None
    """Of a person who signed in elsewhere and has no `User` document; likewise the next."""
    orgs: tuple[OrgId, ...] = ()
    started_ms: int
    seen_ms: int
    """Roughly when it was last used."""


class Action(Doc, frozen=True, kw_only=True):
    """A change that somebody made by the management API or in the console."""

    id: str
    """Sorts the newest first."""
    at_ms: int
    """Machine time."""
    who: str
    """Api key, or `console:` and the person's name."""
    is_operator: bool = False
    method: str
    path: str
    status: int


class Origin(msgspec.Struct, frozen=True):
    """Where an event came from, in the words that must survive the provider's deletion."""

    org: OrgId
    provider_id: str
    event_code: str
    provider_name: str
    """Technical name, `<provider_metadata>_<ims_org_id>_<instance_id>`: the `x-adobe-provider` header."""
    provider_label: str
    delivery_format: DeliveryFormat
    client_id: str
    """Api key of the publisher."""


def provider_technical_name(provider: Provider, ims_org_id: str) -> str:
    """`x-adobe-provider` of a provider, e.g. `3rd_party_custom_events_ORG@AdobeOrg_IDP01`; a built-in one's family."""
    if provider.org == BUILTIN_ORG:
        return provider.provider_metadata
    return f"{provider.provider_metadata}_{ims_org_id}_{provider.instance_id}"


class Caller(msgspec.Struct, frozen=True):
    """Who asks, once token, api key and organization header were checked."""

    org: OrgId | None
    """None: all of them. The operator's, or lenient mode's when neither header nor api key names an organization."""
    client_id: str
    """The `x-api-key` given."""
    is_admin: bool = False
    """Acts for the operator: every organization (`org` is then the one the headers name, or None), tenants, and
    publishing for the built-in providers."""
