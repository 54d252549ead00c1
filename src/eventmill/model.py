"""The gateway's nouns as frozen structs, named as in the Adobe I/O Events API reference.

These are the stored documents: parsed once at the edge, trusted inside. Wire shapes (HAL links, camelCase members)
belong to `web/`; nothing here knows HTTP.
"""

from __future__ import annotations

from typing import Literal, NewType

import msgspec

OrgId = NewType("OrgId", str)
"""The consumer organisation id, a short decimal string (`project.org.id`)."""

Lane = NewType("Lane", int)
"""One registration's way out. Equals the registration's numeric `id`; never reused."""

DeliveryType = Literal["webhook", "webhook_batch", "journal", "aws_eventbridge"]
DeliveryFormat = Literal["cloud_events_v1", "adobe_io"]
WebhookStatus = Literal["accepted", "verified", "unstable", "hook_unreachable", "verification_failed"]
Region = Literal["VA6", "IRL1"]

_HOST_LABEL = "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_ATOM = "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
MAIL_ADDRESS = rf"^{_ATOM}(\.{_ATOM})*@{_HOST_LABEL}(\.{_HOST_LABEL})*$(?!\n)"
"""Pattern of an address that mails go to or come from (RFC 5321): ASCII, without quotes, comments or a name."""
MAIL_ADDRESS_CHARS_MAX = 254

BUILTIN_ORG = OrgId("")
"""Owns the built-in providers. No caller acts for it; every organisation may subscribe to what it publishes."""
BUILTIN_PUBLISHER = "Adobe"

CUSTOM_EVENTS = "3rd_party_custom_events"
"""The provider metadata (family) under which organisations register their own providers."""


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


class EventMetadata(Doc, frozen=True, kw_only=True):
    org: OrgId
    provider_id: str
    event_code: str
    label: str
    description: str
    sample_event_template: str | None


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


class Registration(Doc, frozen=True, kw_only=True):
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
    """Who asks, once token, api key and organisation header were checked."""

    org: OrgId | None
    """None: all of them. The operator's, or lenient mode's when neither header nor api key names an organisation."""
    client_id: str
    """The `x-api-key` given."""
    is_admin: bool = False
    """Acts for the operator: every organisation (`org` is then the one the headers name, or None), tenants, and
    publishing for the built-in providers."""
