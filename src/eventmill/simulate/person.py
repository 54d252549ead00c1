"""The customers whose profiles move, and the colleagues who change settings. They go by nicknames: none is anybody."""

from __future__ import annotations

from random import Random
from typing import Any

import msgspec

_MANNERS = (
    *("amber", "azure", "bold", "brave", "breezy", "bright", "calm", "clever", "cosy", "crisp", "dapper", "dusty"),
    *("eager", "early", "fair", "fond", "gentle", "glad", "golden", "happy", "humble", "jolly", "keen", "kind"),
    *("lively", "lucky", "merry", "mild", "nimble", "proud", "quick", "quiet", "silver", "sunny", "swift"),
    "witty",
)
_ANIMALS = (
    *("badger", "beaver", "crane", "dolphin", "falcon", "finch", "gecko", "hare", "heron", "ibis", "jay", "koala"),
    *("lark", "lynx", "marten", "newt", "otter", "owl", "panda", "quail", "robin", "seal", "tern", "wren"),
)
COLLEAGUES = ("analytics@example.com", "marketing@example.com", "reporting@example.com", "web-team@example.com")


class Person(msgspec.Struct, frozen=True):
    crm_id: str
    email: str
    """In a domain that is reserved for examples (RFC 2606): a misdirected mail reaches nobody."""

    @property
    def profile_id(self) -> str:
        return f"crm:{self.crm_id}"

    def identity_map(self) -> dict[str, Any]:
        return {"crmid": [{"id": self.crm_id, "primary": True}], "email": [{"id": self.email}]}


def make_person(dice: Random, number: int) -> Person:
    """The customer of that number; no two share an id or an address."""
    name = f"{dice.choice(_MANNERS)}.{dice.choice(_ANIMALS)}"
    return Person(crm_id=str(8000 + number), email=f"{name}{number}@example.com")
