"""Positions of a registration's journal in what is not the journal: read from requests, written into answers."""

from __future__ import annotations

import msgspec

from eventmill.core.position import Position, check_position, format_position, parse_position
from eventmill.errors import GatewayError
from eventmill.model import Registration
from eventmill.store.log import EventLog, Head


class Positions(msgspec.Struct, frozen=True):
    """Of one shard, as its head was when they were asked for."""

    shard: int
    head: Head

    def read(self, name: str, text: str) -> int:
        """The sequence of the position that the parameter or member called `name` holds.

        Raises `INVALID_POSITION`, or `POSITION_EXPIRED` for one from before a reset. Whether retention has passed it is
        not asked."""
        try:
            position = parse_position(text)
            check_position(position, generation=self.head.generation, shard=self.shard, head_seq=self.head.seq)
        except GatewayError as error:
            raise GatewayError(error.reason, f"{name}: {error.message}") from None
        return position.seq

    def write(self, seq: int, day: int | None = None) -> str:
        """`day` (as yyyymmdd) only informs: where it is not known, that of the head stands in."""
        return format_position(Position(self.head.generation, self.shard, self.head.day if day is None else day, seq))


async def positions_of(log: EventLog, registration: Registration) -> Positions:
    shard = await log.shard(registration.org)
    return Positions(shard, await log.head(shard))
