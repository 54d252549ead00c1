"""The channels there are: which provider publishes on each, under which event code, with what in its header."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from eventmill.core.builtin import Builtin
from eventmill.errors import StartupError
from eventmill.simulate.moment import TIME_MEMBER
from eventmill.simulate.world import SimulatedEvent

_SOURCE = "urn:example:acme:datalake"


class Channel(msgspec.Struct, frozen=True):
    name: str
    provider_id: str
    event_code: str
    header_members: frozenset[str]

    def cloud_event(self, event: SimulatedEvent, ims_org_id: str) -> bytes:
        """The event in structured mode (CloudEvents JSON format), as an Adobe product would publish it."""
        header = {"eventType": self.event_code, "imsOrgId": ims_org_id, "source": _SOURCE}
        return msgspec.json.encode(
            {
                "specversion": "1.0",
                "id": event.id,
                "source": f"urn:uuid:{self.provider_id}",
                "type": self.event_code,
                "datacontenttype": "application/json",
                "data": {
                    "header": {name: value for name, value in header.items() if name in self.header_members},
                    "body": event.body,
                },
            }
        )


def find_channels(builtin: Builtin) -> dict[str, Channel]:
    """Those of the catalogue that the world can tell of, by name. Raises `StartupError` when there is none."""
    channels = {
        event.channel: Channel(
            name=event.channel,
            provider_id=each.provider.id,
            event_code=event.event_code,
            header_members=frozenset(event.header.get("properties", ())),
        )
        for each in builtin.providers
        for event in each.events
        if event.channel in TIME_MEMBER
    }
    if not channels:
        raise StartupError("the catalogue (EVENTMILL_CATALOG) has none of the channels that can be simulated")
    return channels


def select_channels(known: Mapping[str, Channel], asked: Iterable[str]) -> dict[str, Channel]:
    """Those asked for by name, or by the part of it before the slash; all when nothing is asked.

    Raises `StartupError` listing the known ones.
    """
    wanted = list(asked)
    if not wanted:
        return dict(known)
    chosen: set[str] = set()
    for name in wanted:
        matching = [each for each in known if each == name or each.partition("/")[0] == name.rstrip("/")]
        if not matching:
            listed = "".join(f"\n  {each}" for each in known)
            raise StartupError(
                f"there is no channel {name!r}; a channel, or the part before its slash, is one of:{listed}"
            )
        chosen.update(matching)
    return {name: channel for name, channel in known.items() if name in chosen}
