"""The acts of the demo, in order: subscribe, deliver, refuse, retry, read back. Each shows what it checked."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any

from eventmill.clock import Clock
from eventmill.demo.failure import DemoFailedError
from eventmill.demo.receiver import BATCH, SINGLE, Delivery, Receiver
from eventmill.demo.screen import Screen
from eventmill.demo.tenant import EVENT_CODE, Tenant
from eventmill.demo.wording import describe, payload
from eventmill.simulate.channel import Channel
from eventmill.simulate.publisher import Publishing, Stream
from eventmill.simulate.world import run_world

SEED = 5279
SIMULATED = 16
"""Events; with this seed they come from all eight channels, and a mail is sent, delivered and opened among them."""
RATE = 12.0
"""Slow enough to watch."""
_ARRIVE_WITHIN_S = 15.0
_RETRY_AFTER_S = 60
_JOURNAL_SHOWN = 3
_DAY_MS = 86_400_000


class Tour:
    def __init__(
        self,
        screen: Screen,
        receiver: Receiver,
        tenant: Tenant,
        channels: Mapping[str, Channel],
        clock: Clock,
    ) -> None:
        self._screen = screen
        self._receiver = receiver
        self._tenant = tenant
        self._channels = channels
        self._clock = clock
        self._channel_by_code = {channel.event_code: channel.name for channel in channels.values()}
        self._published: Counter[str] = Counter()
        """What was published, as canonical JSON."""
        self._verified: Counter[str] = Counter()
        """Deliveries by path."""
        self._refused = 0
        self._provider_id = ""
        self.journal_url = ""

    async def play(self) -> None:
        """Raises `DemoFailedError` at the first thing that is not as it must be."""
        await self._subscribe()
        stock = await self._deliver()
        await self._refuse(stock)
        await self._retry()
        await self._read_back()
        total = sum(self._published.values())
        self._screen.result(
            f"{total} events: {self._verified[SINGLE]} deliveries and {self._verified[BATCH]} batches verified, "
            f"{self._refused} forgeries refused, all {total} in the journal"
        )

    async def watch(self) -> None:
        """Show what arrives from now on, until cancelled."""
        while True:
            self._show(await self._receiver.arrived.get())

    # --- The acts ---

    async def _subscribe(self) -> None:
        screen, tenant = self._screen, self._tenant
        screen.act(
            "Three subscriptions to eight channels and a provider of our own",
            "A webhook is called only after it has proved that it wants to be: it gives a challenge back.",
        )
        self._provider_id = await tenant.create_provider()
        interests = [(channel.provider_id, channel.event_code) for channel in self._channels.values()]
        interests.append((self._provider_id, EVENT_CODE))
        for name, delivery_type, path in (("webhook", "webhook", SINGLE), ("batches", "webhook_batch", BATCH)):
            made = await tenant.register(f"Demo {name}", delivery_type, interests, self._receiver.url + path)
            if made["webhook_status"] != "verified" or path not in self._receiver.challenges:
                raise DemoFailedError(f"the challenge of {path} did not pass: {made['webhook_status']}")
            screen.row(delivery_type, f"{len(interests)} event codes to {path}, challenge passed", "verified")
        made = await tenant.register("Demo journal", "journal", interests)
        self.journal_url = str(made["_links"]["rel:events"]["href"])
        screen.row("journal", f"{len(interests)} event codes, waiting to be read", "ready")

    async def _deliver(self) -> Delivery:
        """Returns the delivery of the custom event."""
        self._screen.act(
            "Every delivery is verified",
            "Two digital signatures and one with the client secret: nobody else can have sent these bytes.",
        )
        _, deliveries = await asyncio.gather(
            self._publish_all(),
            self._collect(lambda found: _count(found, SINGLE) == _count(found, BATCH) == SIMULATED + 1),
        )
        for path in (SINGLE, BATCH):
            self._check_complete(path, [event for each in deliveries if each.path == path for event in each.events])
        stock = (each for each in deliveries if each.headers["x-adobe-event-code"] == EVENT_CODE)
        return next(each for each in stock if each.path == SINGLE)

    async def _refuse(self, genuine: Delivery) -> None:
        self._screen.act(
            "Forgeries are refused",
            "Anyone can POST to a public address, and headers can be copied; a signature fits one body only.",
        )
        headers = {
            name: value for name, value in genuine.headers.items() if name.startswith(("x-adobe", "content-type"))
        }
        foreign_keys = {f"x-adobe-public-key{number}-path": "@keys.example.com/mine.pem" for number in (1, 2)}
        forgeries = (
            ('"left": 2 becomes "left": 200', headers, genuine.body.replace(b'"left": 2', b'"left": 200')),
            ("signed with keys of their own", headers | foreign_keys, genuine.body),
            ("the event id of another event", headers | {"x-adobe-event-id": "0" * 36}, genuine.body),
        )
        for what, forged_headers, body in forgeries:
            await self._tenant.forge(self._receiver.url + SINGLE, forged_headers, body)
            delivery = await self._next()
            if delivery.status != 401:
                raise DemoFailedError(f"a forgery was not refused: {what}")
            self._refused += 1
            self._screen.row(what, delivery.refusal, "refused")

    async def _retry(self) -> None:
        screen = self._screen
        screen.act(
            "A receiver that is down loses nothing",
            "After a 503 the gateway comes back in 1, 2, 4, 8, then every 15 minutes, for a day.",
        )
        self._receiver.down_for = 1
        await self._publish_stock("order-2", {"sku": "B7", "left": 1})
        found = [await self._next(), await self._next()]
        failed = next((each for each in found if each.path == SINGLE and each.status == 503), None)
        if failed is None:
            raise DemoFailedError("the receiver that is down got no delivery")
        event_id = failed.headers["x-adobe-event-id"]
        screen.row(f"first attempt, {SINGLE}", f"event {event_id}", "503")
        self._count_verified(next(each for each in found if each.path == BATCH))
        screen.row(f"meanwhile, {BATCH}", "one webhook does not wait for another", "verified")
        await self._tenant.advance_clock(_RETRY_AFTER_S)
        screen.row("the clock moves on by a minute", 'POST /_dev/clock {"advance_seconds": 60}')
        again = await self._next()
        self._count_verified(again)
        if again.retry_count != 1 or again.headers["x-adobe-event-id"] != event_id:
            raise DemoFailedError(f"what came was not the retry of event {event_id}")
        screen.row(f"retry {again.retry_count}, {SINGLE}", f"event {event_id}", "verified")

    async def _read_back(self) -> None:
        screen = self._screen
        screen.act(
            "The journal holds everything",
            "For seven days, whatever became of the deliveries; read at your own pace, from any position.",
        )
        pages = [page["events"] async for page in self._tenant.read_journal(self.journal_url)]
        entries = [entry for page in pages for entry in page]
        self._check_complete("the journal", [entry["event"] for entry in entries])
        for entry in entries[:_JOURNAL_SHOWN]:
            self._show_entry(entry)
        screen.note(f"… {len(entries) - _JOURNAL_SHOWN - 1} more")
        self._show_entry(entries[-1])
        screen.gap()
        screen.note(f"{len(entries)} entries in {_counted(len(pages), 'page')}: each published event, once")

    # --- What the acts share ---

    async def _publish_all(self) -> None:
        """Simulated events of all channels, and one of the custom provider."""
        start_ms = self._clock.machine_ms() - _DAY_MS
        events = list(islice(run_world(SEED, start_ms, self._channels), SIMULATED))
        stream = Stream(
            events=iter(events),
            channels=self._channels,
            ims_org_id=self._tenant.env["ims_org_id"],
            ingress_url=self._tenant.env["ingress_url"],
            headers=self._tenant.operator_headers,
            rate=RATE,
        )
        for event in events:
            body = self._channels[event.channel].cloud_event(event, stream.ims_org_id)
            self._published[_canonical(payload(json.loads(body)))] += 1
        report = await Publishing(stream, self._clock, lambda: None).run()
        if report.total("published") != SIMULATED:
            raise DemoFailedError(f"not every event was accepted: {report.ended or report.reasons or report.counts}")
        await self._publish_stock("order-1", {"sku": "A1", "left": 2})

    async def _publish_stock(self, event_id: str, data: Mapping[str, Any]) -> None:
        self._published[_canonical(data)] += 1
        await self._tenant.publish(self._provider_id, event_id, data)

    async def _next(self) -> Delivery:
        try:
            return await asyncio.wait_for(self._receiver.arrived.get(), _ARRIVE_WITHIN_S)
        except TimeoutError:
            raise DemoFailedError(f"nothing arrived within {_ARRIVE_WITHIN_S:.0f} s") from None

    async def _collect(self, is_enough: Callable[[list[Delivery]], bool]) -> list[Delivery]:
        """Single ones are shown as they arrive, batches when all is there."""
        found: list[Delivery] = []
        while not is_enough(found):
            delivery = await self._next()
            self._count_verified(delivery)
            found.append(delivery)
            if delivery.path == SINGLE:
                self._show(delivery)
        for delivery in found:
            if delivery.path == BATCH:
                self._show(delivery)
        return found

    def _count_verified(self, delivery: Delivery) -> None:
        if not delivery.is_verified:
            raise DemoFailedError(f"a delivery to {delivery.path} was not verified: {delivery.refusal}")
        self._verified[delivery.path] += 1

    def _check_complete(self, where: str, events: list[dict[str, Any]]) -> None:
        found = Counter(_canonical(payload(event)) for event in events)
        if found != self._published:
            missing, extra = self._published - found, found - self._published
            raise DemoFailedError(
                f"{where}: {missing.total()} events are missing, {extra.total()} came unasked or twice"
            )

    def _show(self, delivery: Delivery) -> None:
        verdict = "verified" if delivery.is_verified else "refused"
        if delivery.path == SINGLE and delivery.events:
            name, detail = describe(delivery.events[0], self._channel_by_code)
        else:
            name = f"a batch, in one request to {delivery.path}"
            detail = delivery.refusal or f"{len(delivery.events)} events, {len(delivery.body):,} bytes"
        self._screen.row(name, detail, verdict)

    def _show_entry(self, entry: dict[str, Any]) -> None:
        name, detail = describe(entry["event"], self._channel_by_code)
        self._screen.entry(entry["position"], name, detail)


def _count(deliveries: list[Delivery], path: str) -> int:
    return sum(len(each.events) for each in deliveries if each.path == path)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
