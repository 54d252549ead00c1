"""Publishers, journal readers and webhooks of two organizations, who use any node and write down all that they see.

A publish that fails is tried again on another node with an event id of its own, so that the history tells apart what
became of each attempt. Journals are read while all goes on, page after page from whichever node answers, and once more
from the beginning at the end.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from types import TracebackType
from urllib.parse import urlsplit

from tests.e2e.harness.cluster import ORGANIZATIONS, Cluster
from tests.e2e.harness.history import Attempt, Delivery, Entry, History, Recipient
from tests.e2e.harness.hook import Hook, Received, Reply
from tests.e2e.harness.http_client import Answer, Client
from tests.e2e.harness.tenant import Tenant, Topic, event_bytes
from tests.waiting import eventually

CODES = ("com.acme.stock.low", "com.acme.stock.high")
_DATA = b'{"sku":"A1","note":"' + b"x" * 200 + b'"}'
_PUBLISHERS = 6
_PAUSE_S = 0.02
"""What each publisher waits between two events: the machine is shared with what is tested."""
_ANSWER_WITHIN_S = 3.0
"""A node that stands still answers nobody."""
_PROBE_S = 0.5
_PROBE_ANSWER_S = 1.0
_AGAIN_S = 0.1
_LOOK_S = 0.25
_PAGE = 200


class Load:
    """Between `async with` and its end."""

    def __init__(self, cluster: Cluster, chance: random.Random) -> None:
        self._cluster = cluster
        self._chance = chance
        self._stack = AsyncExitStack()
        self._tenants: list[list[Tenant]] = []
        """By organization, then by node."""
        self._topics: list[list[Topic]] = []
        self._hooked: dict[str, Recipient] = {}
        self._owed: dict[str, set[str]] = {}
        """By webhook: what was acknowledged, but has not come."""
        self._received: dict[str, set[str]] = {}
        self._read: list[tuple[Recipient, str]] = []
        """With the path of its journal."""
        self._over = False
        self._published = False
        self._avoided: set[int] = set()
        self._now_s = asyncio.get_running_loop().time
        self.refusing = 0.0
        """Share of the deliveries that the webhooks refuse for the moment."""
        self.history = History()
        self.answers: Counter[int] = Counter()
        """Statuses of publishes; 0: none came."""

    async def __aenter__(self) -> Load:
        self._hook = await self._stack.enter_async_context(Hook(self._receive, keep=False))
        clients = [await self._stack.enter_async_context(Client(node.port)) for node in self._cluster.nodes]
        for organization in range(ORGANIZATIONS):
            env = await asyncio.to_thread(self._cluster.env, 0, organization)
            urls = [{"ingress_url": f"{node.url}/ingress"} for node in self._cluster.nodes]
            tenants = [Tenant(client, {**env, **url}) for client, url in zip(clients, urls, strict=True)]
            self._tenants.append(tenants)
            await self._subscribe(organization, tenants)
        self._running = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self._running.cancel()
        await asyncio.gather(self._running, return_exceptions=True)
        await self._stack.aclose()

    async def end(self) -> None:
        """Publishers end with the event that they are at, readers when they have read everything."""
        self._over = True
        await self._running

    @property
    def acknowledged(self) -> int:
        return self.answers[200]

    @property
    def missing(self) -> int:
        """Acknowledged events that a webhook still has not received, over all webhooks."""
        return sum(map(len, self._owed.values()))

    async def settle(self, within_s: float) -> None:
        """Wait for what is still to be delivered, and read all journals again; what never comes is the checker's to
        say."""
        with suppress(AssertionError):
            await eventually(lambda: self.missing == 0, "every delivery", within_s)
        for recipient, path in self._read:
            again = Recipient(f"{recipient.name}, read at the end", recipient.org, recipient.topics)
            await self._read_pages(again, path)
            self.history.recipients.append(again)

    # --- Set-up ---

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as readers:
            probing = readers.create_task(self._probe())
            following = [readers.create_task(self._follow(*each)) for each in self._read]
            async with asyncio.TaskGroup() as publishers:
                for number in range(_PUBLISHERS):
                    publishers.create_task(self._publish(number))
            self._published = True
            await asyncio.wait(following)
            probing.cancel()

    async def _subscribe(self, organization: int, tenants: list[Tenant]) -> None:
        tenant = tenants[0]
        low = await tenant.topic(CODES[0])
        topics = [low, await tenant.event_code(low.provider_id, CODES[1])]
        self._topics.append(topics)
        for kind, some in (("webhook", topics), ("webhook_batch", topics[:1]), ("journal", topics[1:])):
            name = f"{kind}-{organization}"
            hooked = kind != "journal"
            url = f"{self._hook.url}/{name}" if hooked else ""
            registration = await tenant.register(*some, url=url, delivery_type=kind)
            codes = frozenset(topic.event_code for topic in some)
            recipient = Recipient(name, str(organization), codes, deliveries=[] if hooked else None)
            if hooked:
                self._hooked[name] = recipient
                self._owed[name], self._received[name] = set(), set()
            self.history.recipients.append(recipient)
            self._read.append((recipient, _path(f"{registration.link('rel:events')}?limit={_PAGE}")))

    # --- Publishing ---

    async def _publish(self, number: int) -> None:
        organization = number % ORGANIZATIONS
        event = 0
        while not self._over:
            event += 1
            topic = self._topics[organization][event % len(CODES)]
            tries = 0
            while not await self._attempt(organization, topic, f"p{number}-{event}.{tries}"):
                tries += 1
                if self._over:
                    return
                await asyncio.sleep(_AGAIN_S)
            await asyncio.sleep(_PAUSE_S)

    async def _attempt(self, organization: int, topic: Topic, event_id: str) -> bool:
        sent_s = self._now_s()
        status = 0
        with suppress(OSError, TimeoutError):
            async with self._some_node(organization) as tenant:
                answer = await tenant.post_event(event_bytes(topic, event_id, _DATA))
                assert answer.status != 503 or answer.header("retry-after"), answer
                status = answer.status
        self.answers[status] += 1
        attempt = Attempt(event_id, str(organization), topic.event_code, sent_s, self._now_s(), status == 200)
        self.history.attempts.append(attempt)
        if attempt.acknowledged:
            for name, recipient in self._hooked.items():
                wanted = recipient.org == attempt.org and attempt.topic in recipient.topics
                if wanted and event_id not in self._received[name]:
                    self._owed[name].add(event_id)
        return attempt.acknowledged

    @asynccontextmanager
    async def _some_node(self, organization: int) -> AsyncIterator[Tenant]:
        """Any that has not just failed, if there is one."""
        numbers = range(len(self._cluster.nodes))
        number = self._chance.choice([each for each in numbers if each not in self._avoided] or list(numbers))
        try:
            async with asyncio.timeout(_ANSWER_WITHIN_S):
                yield self._tenants[organization][number]
        except (OSError, TimeoutError):
            self._avoided.add(number)
            raise

    async def _probe(self) -> None:
        """As a load balancer does: a node that gave no answer is asked nothing until it says that it is ready."""
        while True:
            for number in list(self._avoided):
                with suppress(OSError, TimeoutError):
                    async with asyncio.timeout(_PROBE_ANSWER_S):
                        answer = await self._tenants[0][number].client.call("GET", "/readyz")
                    if answer.status == 200:
                        self._avoided.discard(number)
            await asyncio.sleep(_PROBE_S)

    # --- Receiving ---

    async def _receive(self, post: Received) -> Reply:
        if self._chance.random() < self.refusing:
            return Reply(500)
        name = post.path.removeprefix("/")
        deliveries = self._hooked[name].deliveries
        assert deliveries is not None
        content = json.loads(post.body)
        ids = [event["id"] for event in (content if isinstance(content, list) else [content])]
        deliveries += [Delivery(event_id, post.at_s) for event_id in ids]
        self._received[name].update(ids)
        self._owed[name].difference_update(ids)
        return Reply(200)

    async def _follow(self, recipient: Recipient, path: str) -> None:
        """A reader that never goes back, until there is nothing new after the end of publishing."""
        last = False
        while not last:
            last = self._published
            path = await self._read_pages(recipient, path)
            await asyncio.sleep(_LOOK_S)

    async def _read_pages(self, recipient: Recipient, path: str) -> str:
        """Reads to the head; returns where to go on from there."""
        while True:
            page = await self._page(recipient.org, path)
            path = _path(page.link("next"))
            if page.status == 204:
                return path
            recipient.journal += [Entry(entry["event"]["id"], entry["position"]) for entry in page.json()["events"]]

    async def _page(self, org: str, path: str) -> Answer:
        while True:
            with suppress(OSError, TimeoutError):
                async with self._some_node(int(org)) as tenant:
                    answer = await tenant.call("GET", path)
                if answer.status != 503:
                    assert answer.status in (200, 204), answer
                    return answer
            await asyncio.sleep(_AGAIN_S)


def _path(url: str) -> str:
    """Without the node that the link leads to: any will do."""
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}"
