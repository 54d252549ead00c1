"""Follows the references within an AsyncAPI document, and keeps what there is to say of places in it.

Pure. What is bounded here: how much a few references may stand for, how many warnings there are, how long a place is.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from eventmill.errors import GatewayError, Reason

Json = dict[str, Any]

_NODES_MAX = 200_000
"""Of all schemas together, once their references are followed."""
_DEPTH_MAX = 40
_LEVELS_MAX = 150
"""Of a schema, once its references are followed; a level costs some stack."""
_WARNINGS_MAX = 100
_NAME_CHARS_MAX = 60
"""Of each name where a place in the document is told."""


class Place(NamedTuple):
    """Somewhere in the document; put in words only when something is to be said about it."""

    parent: Place | None
    name: str | int

    def at(self, *names: str | int) -> Place:
        place = self
        for name in names:
            place = Place(place, name)
        return place

    def __str__(self) -> str:
        if isinstance(self.name, int):
            return f"{self.parent}[{self.name}]"
        name = self.name if len(self.name) <= _NAME_CHARS_MAX else f"{self.name[:_NAME_CHARS_MAX]}..."
        return name if self.parent is None else f"{self.parent}.{name}"


class References:
    """Of one document."""

    def __init__(self, document: Json) -> None:
        self._document = document
        self._nodes = 0
        self._warnings: list[str] = []
        self._unsaid = 0

    @property
    def warnings(self) -> tuple[str, ...]:
        unsaid = (f"and {self._unsaid} more",) if self._unsaid else ()
        return (*self._warnings, *unsaid)

    def warn(self, where: Place, what: str) -> None:
        if len(self._warnings) < _WARNINGS_MAX:
            self._warnings.append(f"{where}{what}")
        else:
            self._unsaid += 1

    def object(self, value: Any, where: Place) -> Json:
        """The object itself, or the one that it refers to; empty with a warning when there is none."""
        for _ in range(_DEPTH_MAX):
            if not isinstance(value, dict):
                break
            if not isinstance(value.get("$ref"), str):
                return value
            value = self._target(value["$ref"])
        self.warn(where, ": is no object, or refers to none in this document; passed over")
        return {}

    def _target(self, reference: str) -> Any:
        """What a reference within the document leads to (RFC 6901); None for nothing."""
        if not reference.startswith("#/"):
            return None
        value: Any = self._document
        for step in reference[2:].split("/"):
            name = step.replace("~1", "/").replace("~0", "~")
            if isinstance(value, dict):
                value = value.get(name)
            elif isinstance(value, list) and name.isdigit() and len(name) < 9 and int(name) < len(value):
                value = value[int(name)]
            else:
                return None
        return value

    def expand(self, value: Any, where: Place) -> Any:
        """The value with every reference replaced by what it leads to. One that leads into itself, or out of the
        document, becomes a schema that takes everything. Raises `GatewayError` (INVALID_BODY) for too much."""
        return self._expand(value, where, (), 0)

    def _expand(self, value: Any, where: Place, open_references: tuple[str, ...], level: int) -> Any:
        self._nodes += 1
        if self._nodes > _NODES_MAX or level > _LEVELS_MAX:
            raise refusal(where, "the schemas are too large once their references are followed")
        if isinstance(value, list):
            return [self._expand(each, where.at(at), open_references, level + 1) for at, each in enumerate(value)]
        if not isinstance(value, dict):
            return value
        reference = value.get("$ref")
        if isinstance(reference, str):
            target = self._target(reference)
            if target is None or reference in open_references or len(open_references) >= _DEPTH_MAX:
                why = "leads nowhere in this document" if target is None else "leads into itself"
                self.warn(where, f": {reference[:80]} {why}; anything is taken there")
                return {}
            return self._expand(target, where, (*open_references, reference), level + 1)
        return {name: self._expand(each, where.at(name), open_references, level + 1) for name, each in value.items()}


def refusal(where: str | Place, what: str) -> GatewayError:
    return GatewayError(Reason.INVALID_BODY, f"{where}: {what}")
