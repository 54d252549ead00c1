"""Where a checked event goes: whose it is, who gets it, and the form in which it is stored.

Reads the catalogue's picture of the moment, which may be stale; whoever commits what is made here answers for that.
Must not: wait, or write.
"""

from __future__ import annotations

import msgspec

from eventmill.config import Config
from eventmill.core.cloudevent import Published
from eventmill.core.envelope import cut_adobe_io, cut_cloud_event
from eventmill.errors import GatewayError, Reason
from eventmill.flow.catalogue import Catalogue
from eventmill.flow.filters import LaneFilters
from eventmill.flow.schemas import Schemas
from eventmill.ids import uuid_text
from eventmill.model import BUILTIN_ORG, Caller, Lane, OrgId, Origin, Provider, provider_technical_name
from eventmill.store.log import EventLog, NewEvent
from eventmill.store.observe import UnmatchedEvent, WhyUnmatched

_ORIGINS_MAX = 4096
"""Origins kept at hand."""
_STORAGE_RETRY_AFTER_S = 60
_NOTED_CHARS_MAX = 256
"""Of a publisher's own words that are remembered of an event that nobody gets."""


class Match(msgspec.Struct, frozen=True, gc=False):
    """Routing epoch, organization, provider and subscribed lanes, all of one picture."""

    epoch: int
    org: OrgId
    provider: Provider | None
    lanes: tuple[Lane, ...]
    filters: LaneFilters | None = None
    """Of those lanes; None: the event goes to all of them."""


class Arrival(msgspec.Struct, frozen=True, gc=False):
    """What an event gets from its request, beside its own bytes."""

    caller: Caller
    now_ms: int
    phidata: bool


class Placing:
    """One per front process; used from its event loop only."""

    def __init__(self, store: EventLog, catalogue: Catalogue, config: Config, schemas: Schemas) -> None:
        self.schemas = schemas
        self._store = store
        self._catalogue = catalogue
        self._config = config
        self._origins: dict[tuple[OrgId, str, str, str], Origin] = {}
        self._origins_epoch = 0
        """Change epoch of the catalogue that the kept origins were made from."""

    def match(self, published: Published, caller: Caller) -> Match:
        """403 when the provider is not the caller's."""
        provider_id = published.provider_id
        provider = None if provider_id is None else self._catalogue.provider(provider_id)
        if provider is None:
            return Match(0, BUILTIN_ORG, None, ())
        org = _owner(provider, caller)
        route = self._catalogue.route(org, provider.id, published.event_code)
        return Match(self._catalogue.routing_epoch(org), org, provider, route.lanes, route.filters)

    def check_known(self, published: Published, provider: Provider | None) -> None:
        """404 for an unknown provider; with `strict_catalog` 400 for it and for an unknown event code."""
        strict = self._config.strict_catalog
        if provider is None:
            message = f"source: {_shown(published.source)} names no provider; it must be urn:uuid:<provider id>"
            raise GatewayError(Reason.INVALID_EVENT if strict else Reason.NOT_FOUND, message)
        if strict and self._catalogue.event_metadata(provider.id, published.event_code) is None:
            message = f"type: {_shown(published.event_code)} is no event code of provider {provider.id}"
            raise GatewayError(Reason.INVALID_EVENT, message)

    def check_schema(self, published: Published, provider: Provider | None) -> str:
        """What is wrong with data that do not fit the schema of their event code, where the provider only warns; else
        empty. Raises `SCHEMA_VIOLATION` where it rejects."""
        if provider is None or provider.schema_enforcement == "off":
            return ""
        return self.schemas.check(published, provider)

    def check_quota(self, org: OrgId) -> None:
        quota = self._config.stored_bytes_per_org
        if quota and self._store.stored_bytes(org) >= quota:
            days = self._config.journal_retention_days
            message = f"the organization stores its {quota} bytes of events; they expire after {days} days"
            raise GatewayError(Reason.STORAGE_QUOTA_REACHED, message, retry_after_s=_STORAGE_RETRY_AFTER_S)

    async def new_event(self, published: Published, match: Match, event_id: bytes, arrival: Arrival) -> NewEvent:
        """What to append; `match` has a provider. Without lanes when the filters let it go to none of them: then there
        is nothing to append."""
        org, provider = match.org, match.provider
        assert provider is not None
        origin = self._origin(published, org, provider, arrival.caller)
        body = self.cut(published, provider, uuid_text(event_id), arrival)
        audit_id = published.id if arrival.phidata else ""
        lanes = match.lanes
        if match.filters is not None:
            lanes = await match.filters.passing(body, legacy_fields=self._config.legacy_fields)
        return NewEvent(org, event_id, origin, body, lanes, match.epoch, audit_id)

    def unmatched(self, published: Published, match: Match, event_id: bytes, arrival: Arrival) -> UnmatchedEvent:
        """What to remember of an event that nobody gets; `match` has a provider. With lanes: their filters kept it."""
        provider, event_code = match.provider, published.event_code
        assert provider is not None
        why: WhyUnmatched = "filtered" if match.lanes else "no_registration"
        if self._catalogue.event_metadata(provider.id, event_code) is None:
            why = "unknown_event_code"
        return UnmatchedEvent(
            event_id,
            published.id[:_NOTED_CHARS_MAX],
            arrival.now_ms,
            provider.id,
            provider.label,
            event_code[:_NOTED_CHARS_MAX],
            arrival.caller.client_id,
            why,
        )

    def cut(self, published: Published, provider: Provider, event_id: str, arrival: Arrival) -> bytes:
        """The form that is stored, without what is its recipient's."""
        legacy_fields = self._config.legacy_fields
        if provider.event_delivery_format == "adobe_io":
            return cut_adobe_io(published, event_id, legacy_fields=legacy_fields)
        return cut_cloud_event(
            published, event_id, arrival.now_ms, phidata=arrival.phidata, legacy_fields=legacy_fields
        )

    def _origin(self, published: Published, org: OrgId, provider: Provider, caller: Caller) -> Origin:
        if self._origins_epoch != self._catalogue.epoch or len(self._origins) >= _ORIGINS_MAX:
            self._origins = {}
            self._origins_epoch = self._catalogue.epoch
        key = (org, provider.id, published.event_code, caller.client_id)
        known = self._origins.get(key)
        if known is None:
            known = self._origins[key] = self._make_origin(published, org, provider, caller)
        return known

    def _make_origin(self, published: Published, org: OrgId, provider: Provider, caller: Caller) -> Origin:
        organization = self._catalogue.organization(org)
        return Origin(
            org,
            provider.id,
            published.event_code,
            provider_technical_name(provider, "" if organization is None else organization.ims_org_id),
            provider.label,
            provider.event_delivery_format,
            caller.client_id,
        )


def _owner(provider: Provider, caller: Caller) -> OrgId:
    """Whose event it is. A built-in provider's is that of the organization it is published for, by the operator."""
    if provider.org == BUILTIN_ORG:
        if not caller.is_admin:
            message = f"source: provider {provider.id} is built in; only the operator's token may publish for it"
            raise GatewayError(Reason.NOT_PERMITTED, message)
        if caller.org is None:
            message = f"x-ims-org-id: must name the organization that provider {provider.id} publishes for"
            raise GatewayError(Reason.WRONG_ORGANIZATION, message)
        return caller.org
    if caller.org is not None and caller.org != provider.org:
        message = f"source: provider {provider.id} belongs to another organization"
        raise GatewayError(Reason.WRONG_ORGANIZATION, message)
    return provider.org


def _shown(text: str) -> str:
    return ascii(text if len(text) <= 80 else text[:80] + "...")
