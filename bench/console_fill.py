"""Fills a data directory that no gateway has open: registrations in every state, events, what became of each delivery.

    python bench/console_fill.py DATA REGISTRATIONS DELIVERIES

Through the store protocol, as fast as it goes. Copies the one provider, event type and webhook registration that are
there already. Ten registrations share an event code; one code in a thousand gets a fifth of all events.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import uuid
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import msgspec
import structlog

from eventmill.clock import SystemClock
from eventmill.config import Config
from eventmill.core.attempts import Attempt, pack_attempts
from eventmill.core.cloudevent import parse_structured
from eventmill.core.envelope import cut_cloud_event
from eventmill.flow.registration_change import lane_op, registration_keys
from eventmill.flow.traces import TraceDetail
from eventmill.ids import IdSource
from eventmill.model import (
    EventMetadata,
    EventOfInterest,
    Lane,
    OrgId,
    Origin,
    Provider,
    Registration,
    provider_technical_name,
)
from eventmill.store.control import ControlOp, Create, OpenLane
from eventmill.store.log import NewEvent
from eventmill.store.observe import UnmatchedBatch, UnmatchedEvent
from eventmill.store.sqlite.store import SqliteStore
from eventmill.store.work import SLOTS, AttemptCount, Ended, LaneProgress, RetryUnit, TraceRecord, WorkCommit
from eventmill.web.event_metadata import metadata_keys
from eventmill.web.provider_writes import provider_keys

ORG = OrgId("1001")
PER_CODE, CODES_PER_PROVIDER = 10, 100
DAYS, DAY_MS = 6, 86_400_000
CHUNK_EVENTS, BATCH_EVENTS, WRITES = 2_000, 200, 500
TRACED = 200
"""So many lanes have traces."""
IMS_ORG = "0123456789ABCDEF01234567@AdobeOrg"


class PastClock(SystemClock):
    """Business time stands where the filling is; it ends in the present."""

    def __init__(self) -> None:
        self.at_ms = 0

    def now_ms(self) -> int:
        return self.at_ms


class Filling:
    def __init__(self, data: str, registrations: int, deliveries: int) -> None:
        self.clock = PastClock()
        self.now_ms = SystemClock().now_ms()
        self.start_ms = self.now_ms - DAYS * DAY_MS
        self.clock.at_ms = self.start_ms
        self.store = SqliteStore(Config(data=data, dev=True, disk_reserve_bytes=0), self.clock)
        self.random = random.Random(7)
        self.ids = IdSource(self.random.randbytes)
        self.registrations = registrations
        self.events = deliveries // PER_CODE
        self.codes: list[tuple[Origin, tuple[Lane, ...]]] = []
        self.pushing: set[Lane] = set()
        self.failing: set[Lane] = set()

    async def run(self) -> int:
        """How many deliveries there are."""
        await self.store.open()
        try:
            await self._make_catalogue()
            epoch = await self.store.epoch()
            for first in range(0, self.events, CHUNK_EVENTS):
                await self._make_events(first, min(CHUNK_EVENTS, self.events - first), epoch)
            await self._make_unmatched()
        finally:
            await self.store.close()
        return self.events * PER_CODE

    # --- Who publishes and who gets it ---

    async def _make_catalogue(self) -> None:
        [stored_provider], [stored_code], [stored_registration] = [
            await self.store.list_docs(kind, ORG) for kind in ("provider", "event_metadata", "registration")
        ]
        provider = msgspec.json.decode(stored_provider.doc, type=Provider)
        metadata = msgspec.json.decode(stored_code.doc, type=EventMetadata)
        registration = msgspec.json.decode(stored_registration.doc, type=Registration)
        ops: list[ControlOp] = []
        for number in range(self.registrations // PER_CODE):
            if number % CODES_PER_PROVIDER == 0:
                provider = msgspec.structs.replace(
                    provider,
                    id=self.ids.uuid(),
                    label=f"Shop {number // CODES_PER_PROVIDER:03}",
                    instance_id=self.ids.uuid(),
                )
                ops.append(Create("provider", ORG, provider.id, msgspec.json.encode(provider), provider_keys(provider)))
            code = f"com.example.shop.made{number:04}"
            made = msgspec.structs.replace(metadata, provider_id=provider.id, event_code=code, label=f"Made {number}")
            doc_id = stored_code.id.replace(metadata.provider_id, provider.id).replace(metadata.event_code, code)
            ops.append(Create("event_metadata", ORG, doc_id, msgspec.json.encode(made), metadata_keys(provider)))
            lanes = [await self._subscribe(ops, registration, made, rank) for rank in range(PER_CODE)]
            name = provider_technical_name(provider, IMS_ORG)
            origin = Origin(ORG, provider.id, code, name, provider.label, "cloud_events_v1", registration.client_id)
            self.codes.append((origin, tuple(lanes)))
            if len(ops) >= WRITES:
                await self.store.write(ops)
                ops = []
        await self.store.write(ops)

    async def _subscribe(self, ops: list[ControlOp], like: Registration, metadata: EventMetadata, rank: int) -> Lane:
        """Of ten, two read their journals, one is unstable, one disabled; the others are well."""
        lane = Lane(await self.store.allocate("lane"))
        made = msgspec.structs.replace(
            like,
            id=lane,
            registration_id=self.ids.uuid(),
            name=f"Registration {lane:05}",
            events_of_interest=(EventOfInterest(metadata.provider_id, metadata.event_code),),
            delivery_type="journal" if rank in (8, 9) else "webhook",
            webhook_status={6: "unstable", 7: "hook_unreachable"}.get(rank, "verified"),  # type: ignore[arg-type]
            enabled=rank != 7,
            created_ms=self.start_ms,
            updated_ms=self.start_ms,
        )
        ops += [
            Create("registration", ORG, made.registration_id, msgspec.json.encode(made), registration_keys(made)),
            OpenLane(lane, ORG, made.registration_id),
        ]
        if rank < 7:
            self.pushing.add(lane)
        else:
            ops.append(lane_op(made))
        if rank == 6:
            self.failing.add(lane)
        return lane

    # --- Events, and what became of them ---

    async def _make_events(self, first: int, count: int, epoch: int) -> None:
        """Later ones are younger; they are delivered before the next come."""
        self.clock.at_ms = self.start_ms + (self.now_ms - self.start_ms) * (first + count) // self.events
        positions: dict[Lane, list[int]] = defaultdict(list)
        for begin in range(0, count, BATCH_EVENTS):
            batch = [self._event(first + begin + at, epoch) for at in range(min(BATCH_EVENTS, count - begin))]
            appended = await self.store.append_durable(batch)
            for at, event in enumerate(batch):
                for lane in event.lanes:
                    positions[lane].append(appended.first_seq + at)
        await self._deliver({lane: seqs for lane, seqs in positions.items() if lane in self.pushing})

    def _event(self, number: int, epoch: int) -> NewEvent:
        hot = self.random.random() < 0.2
        origin, lanes = self.codes[0 if hot else self.random.randrange(len(self.codes))]
        event_id = self.ids.event_id(self.clock.at_ms)
        event = {
            "specversion": "1.0",
            "id": f"order-{number}",
            "source": f"urn:uuid:{origin.provider_id}",
            "type": origin.event_code,
            "data": {"sku": f"A{number % 977}", "left": number % 9, "text": "x" * 700},
        }
        published = parse_structured(json.dumps(event).encode(), strict=False)
        body = cut_cloud_event(published, str(uuid.UUID(bytes=event_id)), self.clock.at_ms)
        return NewEvent(ORG, event_id, origin, body, lanes, epoch)

    async def _deliver(self, positions: dict[Lane, list[int]]) -> None:
        by_slot: dict[int, list[LaneProgress]] = defaultdict(list)
        for lane, seqs in positions.items():
            by_slot[lane % SLOTS].append(self._progress(lane, seqs))
        leases = {lease.slot: lease for lease in await self.store.leases()}
        for slots in _cut(sorted(by_slot), 32):
            lanes = tuple(each for slot in slots for each in by_slot[slot])
            lost = await self.store.commit(WorkCommit(tuple(leases[slot] for slot in slots), lanes))
            assert not lost, "no other process has the store"

    def _progress(self, lane: Lane, seqs: Sequence[int]) -> LaneProgress:
        """One in fifty of an unstable lane is refused for good, and one waits for its retry."""
        at_ms, failing = self.clock.at_ms, lane in self.failing
        status = 503 if failing else 200
        attempts = [Attempt(seq, 0, status, 20 + seq % 60, at_ms) for seq in seqs]
        waiting = seqs[-1:] if failing and self.random.random() < 0.05 else ()
        refused = tuple(seq for seq in seqs if failing and seq % 50 == 0 and seq not in waiting)
        return LaneProgress(
            lane=lane,
            mark=seqs[-1],
            done=(),
            settled=tuple(seq for seq in seqs if seq not in waiting),
            put_units=tuple(self._unit(lane, seq) for seq in waiting),
            ended=(Ended(refused, "refused", 404, at_ms),) if refused else (),
            attempts=pack_attempts(attempts),
            counts=(AttemptCount(at_ms, 0 if failing else len(seqs), len(seqs) if failing else 0),),
            traces=tuple(self._trace(each) for each in attempts[-5:]) if lane <= TRACED else (),
        )

    def _unit(self, lane: Lane, seq: int) -> RetryUnit:
        """Due long after the measuring."""
        due_ms = self.now_ms + DAY_MS // 2
        return RetryUnit(self.ids.random(16), lane, (seq,), False, self.now_ms, 3, due_ms, 503)

    def _trace(self, attempt: Attempt) -> TraceRecord:
        detail = TraceDetail(
            delivery_id=self.ids.uuid(),
            event_code="com.example.shop.made",
            client_id="0" * 32,
            url="http://127.0.0.1:9/hook",
            method="POST",
            request_headers=(("content-type", "application/json"), ("x-adobe-signature", "x" * 88)),
            request_body=None,
            batch=False,
            status=attempt.status,
            response_headers=(("content-type", "application/json"),),
            response_body=b'{"ok":true}',
            duration_ms=attempt.duration_ms,
            started_ms=attempt.at_ms,
            insights=(),
        )
        return TraceRecord(attempt.status == 200, attempt.at_ms, (attempt.seq,), detail.encode())

    async def _make_unmatched(self) -> None:
        origin = self.codes[0][0]
        events = tuple(
            UnmatchedEvent(
                event_id=self.ids.event_id(self.now_ms),
                published_id=f"unheard-{number}",
                at_ms=self.now_ms,
                provider_id=origin.provider_id,
                provider_label=origin.provider_label,
                event_code="com.example.shop.unheard",
                client_id=origin.client_id,
                why="unknown_event_code",
            )
            for number in range(1000)
        )
        await self.store.note_unmatched([UnmatchedBatch(ORG, events, len(events))])


def _cut(slots: Sequence[int], length: int) -> list[Sequence[int]]:
    return [slots[at : at + length] for at in range(0, len(slots), length)]


def main() -> None:
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    data, registrations, deliveries = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    print(json.dumps(asyncio.run(Filling(str(data), registrations, deliveries).run())))


if __name__ == "__main__":
    main()
