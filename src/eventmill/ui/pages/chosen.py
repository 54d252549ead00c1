"""What was chosen in the *add events* wizard so far: event types of providers, as its pages hand them on."""

from __future__ import annotations

import msgspec

from eventmill.model import BUILTIN_ORG, Registration
from eventmill.ui.visit import Visit

Chosen = list[tuple[str, str]]
"""Provider ids and event codes, in the order of choosing."""


class Summary(msgspec.Struct, frozen=True):
    """What was chosen of a provider."""

    provider_id: str
    label: str
    codes: tuple[str, ...]


def read_chosen(text: str) -> Chosen:
    pairs = (line.partition("/") for line in text.split("\n"))
    return list(dict.fromkeys((provider, code) for provider, _, code in pairs if provider and code))


def write_chosen(chosen: Chosen) -> str:
    return "\n".join(f"{provider}/{code}" for provider, code in chosen)


def summaries(visit: Visit, chosen: Chosen) -> list[Summary]:
    codes: dict[str, list[str]] = {}
    for provider_id, code in chosen:
        codes.setdefault(provider_id, []).append(code)
    return [Summary(each, _label(visit, each), tuple(codes[each])) for each in codes]


def _label(visit: Visit, provider_id: str) -> str:
    provider = visit.parts.catalogue.provider(provider_id)
    is_seen = provider is not None and provider.org in (visit.org.id, BUILTIN_ORG)
    return provider.label if provider is not None and is_seen else provider_id


def find_target(visit: Visit, registration_id: str) -> Registration | None:
    """The registration whose events are changed; None: a new one."""
    if not registration_id:
        return None
    found = visit.parts.catalogue.registration(visit.org.id, registration_id)
    if found is None:
        raise visit.not_found("registration")
    return found


def interests_of(registration: Registration) -> Chosen:
    return [(each.provider_id, each.event_code) for each in registration.events_of_interest]
