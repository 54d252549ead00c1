"""Finds the handler of a path: a tree of segments, literal segments before parameters.

Literals win where both fit, and the search steps back when a literal branch leads nowhere, so that reserved first
segments (`providers`, `organizations`) never shadow an organization's paths nor the other way round.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")


class _Node(Generic[T]):
    __slots__ = ("literals", "methods", "names", "parameter")

    def __init__(self) -> None:
        self.literals: dict[str, _Node[T]] = {}
        self.parameter: _Node[T] | None = None
        self.methods: dict[str, T] = {}
        self.names: tuple[str, ...] = ()


class Router(Generic[T]):
    def __init__(self) -> None:
        self._root: _Node[T] = _Node()

    def add(self, method: str, pattern: str, target: T) -> None:
        """`pattern` is a path whose `{name}` segments match what may be an id: nothing empty, nothing with NUL."""
        node = self._root
        names = []
        for segment in pattern.split("/")[1:]:
            if segment.startswith("{"):
                names.append(segment[1:-1])
                node.parameter = node.parameter or _Node()
                node = node.parameter
            else:
                node = node.literals.setdefault(segment, _Node())
        if method in node.methods:
            raise ValueError(f"two routes for {method} {pattern}")
        node.methods[method] = target
        node.names = tuple(names)

    def find(self, segments: Sequence[str]) -> tuple[Mapping[str, T], dict[str, str]] | None:
        """Targets by method, and the parameters; None when no pattern fits."""
        values: list[str] = []
        node = _descend(self._root, segments, 0, values)
        return None if node is None else (node.methods, dict(zip(node.names, values, strict=True)))


def _descend(node: _Node[T], segments: Sequence[str], at: int, values: list[str]) -> _Node[T] | None:
    if at == len(segments):
        return node if node.methods else None
    literal = node.literals.get(segments[at])
    if literal is not None:
        found = _descend(literal, segments, at + 1, values)
        if found is not None:
            return found
    if node.parameter is None or not segments[at] or "\0" in segments[at]:
        return None
    values.append(segments[at])
    found = _descend(node.parameter, segments, at + 1, values)
    if found is None:
        values.pop()
    return found
