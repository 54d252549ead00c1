"""What the demo asks of its gateway as a publisher and a subscriber, one call each, as any client would."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import aiohttp

from eventmill.demo.failure import DemoFailedError

EVENT_CODE = "com.acme.stock.low"
_CLOUD_EVENT = {"content-type": "application/cloudevents+json"}


class Tenant:
    def __init__(self, session: aiohttp.ClientSession, env: Mapping[str, str], operator_token: str) -> None:
        """`env` is what `eventmill env` says: URLs, ids, the credential and a token."""
        self._session = session
        self.env = env
        self.operator_headers = {"authorization": f"Bearer {operator_token}", "x-ims-org-id": env["ims_org_id"]}
        """Of what is published for the built-in providers."""
        self._headers = {
            "authorization": f"Bearer {env['access_token']}",
            "x-api-key": env["client_id"],
            "x-ims-org-id": env["ims_org_id"],
        }
        place = f"{env['consumer_org_id']}/{env['project_id']}/{env['workspace_id']}"
        self._workspace_url = f"{env['api_url']}/events/{place}"

    async def create_provider(self) -> str:
        """A provider of our own with one event code; its id."""
        made = await self._post(
            f"{self._workspace_url}/providers", {"label": "Warehouse", "description": "Stock moves"}
        )
        metadata = {"event_code": EVENT_CODE, "label": "Stock low", "description": "An article runs out"}
        await self._post(f"{self._workspace_url}/providers/{made['id']}/eventmetadata", metadata)
        return str(made["id"])

    async def register(
        self, name: str, delivery_type: str, interests: Sequence[tuple[str, str]], webhook_url: str = ""
    ) -> dict[str, Any]:
        """The registration as the gateway answers it. `interests`: pairs of provider id and event code."""
        body = {
            "client_id": self.env["client_id"],
            "name": name,
            "delivery_type": delivery_type,
            "events_of_interest": [{"provider_id": provider, "event_code": code} for provider, code in interests],
        }
        return await self._post(
            f"{self._workspace_url}/registrations", {**body, "webhook_url": webhook_url} if webhook_url else body
        )

    async def publish(self, provider_id: str, event_id: str, data: Mapping[str, Any]) -> None:
        event = {
            "specversion": "1.0",
            "id": event_id,
            "source": f"urn:uuid:{provider_id}",
            "type": EVENT_CODE,
            "datacontenttype": "application/json",
            "data": data,
        }
        async with self._session.post(
            self.env["ingress_url"], json=event, headers={**self._headers, **_CLOUD_EVENT}
        ) as answer:
            await _check(answer)

    async def advance_clock(self, seconds: int) -> None:
        """Answers when every attempt that fell due on the way has been made."""
        await self._post(f"{self.env['api_url']}/_dev/clock", {"advance_seconds": seconds})

    async def read_journal(self, url: str) -> AsyncIterator[dict[str, Any]]:
        """Pages from the oldest event on, as they are told by the `next` links."""
        while True:
            async with self._session.get(url, headers=self._headers) as answer:
                await _check(answer)
                if answer.status == 204:
                    return
                yield await answer.json(content_type=None)
                url = str(answer.links["next"]["url"])

    async def fetch_key(self, path: str) -> bytes:
        """Raises `LookupError`."""
        async with self._session.get(self.env["keys_url"] + path) as answer:
            if answer.status != 200:
                raise LookupError(path)
            return await answer.read()

    async def forge(self, url: str, headers: Mapping[str, str], body: bytes) -> None:
        """What the gateway would not send."""
        async with self._session.post(url, data=body, headers=headers) as answer:
            await answer.read()

    async def _post(self, url: str, body: Mapping[str, Any]) -> dict[str, Any]:
        async with self._session.post(url, json=body, headers=self._headers) as answer:
            await _check(answer)
            made: dict[str, Any] = await answer.json(content_type=None)
            return made


async def _check(answer: aiohttp.ClientResponse) -> None:
    if answer.status >= 300:
        raise DemoFailedError(f"{answer.method} {answer.url} was answered with {answer.status}: {await answer.text()}")
