"""A YAML or JSON file as plain values, with the line of each, and `${VARIABLES}` put in. Judges no value."""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import isfinite
from typing import Any

import yaml

from eventmill.cli.remote import Failed
from eventmill.cli.yaml_text import PlainLoader, reading

Path = tuple[str | int, ...]

_DEPTH_MAX = 64
_VALUES_MAX = 1_000_000
_VARIABLE = re.compile(r"\$\$\{|\$\{([^}]*)\}?")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Document:
    """The values of one file."""

    def __init__(self, name: str, text: str, environ: Mapping[str, str] | None) -> None:
        """Without `environ` variables stay as they are written. Raises `Failed` with the line."""
        self.name = name
        self.lines: dict[Path, int] = {}
        self.hidden: set[Path] = set()
        """Values with a variable in them."""
        self._environ = environ
        self._count = 0
        loader = PlainLoader(text)
        try:
            with reading(name):
                node = loader.get_single_node()
                self.value: Any = {} if node is None else self._read(loader, node, ())
        finally:
            loader.dispose()

    def place(self, path: Path) -> str:
        """File and line of a value, or of the nearest one that it would be in."""
        while path and path not in self.lines:
            path = path[:-1]
        return f"{self.name}:{self.lines.get(path, 1)}"

    def fault(self, path: Path, what: str) -> Failed:
        return Failed(f"{self.place(path)}: {what}")

    def has_hidden(self, path: Path) -> bool:
        return any(each[: len(path)] == path for each in self.hidden)

    def _read(self, loader: PlainLoader, node: yaml.Node, path: Path) -> Any:
        self.lines.setdefault(path, node.start_mark.line + 1)
        self._count += 1
        if len(path) > _DEPTH_MAX or self._count > _VALUES_MAX:
            raise self.fault(path, "nested too deeply, or too much once aliases are followed")
        if isinstance(node, yaml.MappingNode):
            return self._read_mapping(loader, node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self._read(loader, each, (*path, at)) for at, each in enumerate(node.value)]
        value = loader.construct_object(node)
        if isinstance(value, str):
            return self._expand(value, path)
        if not isinstance(value, bool | int | float | None) or (isinstance(value, float) and not isfinite(value)):
            raise self.fault(path, f"a value that JSON has not: {str(value)[:80]}")
        return value

    def _read_mapping(self, loader: PlainLoader, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        members: dict[str, Any] = {}
        for key, value in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else None
            line = key.start_mark.line + 1
            if name is None:
                raise Failed(f"{self.name}:{line}: a name has to be a text")
            if name in members:
                raise Failed(
                    f"{self.name}:{line}: {name!r} stands here twice, first in line {self.lines[(*path, name)]}"
                )
            self.lines[(*path, name)] = line
            members[name] = self._read(loader, value, (*path, name))
        return members

    def _expand(self, text: str, path: Path) -> str:
        if self._environ is None or "${" not in text:
            return text
        environ = self._environ

        def value(found: re.Match[str]) -> str:
            if found[0] == "$${":
                return "${"
            name = found[1]
            if not _NAME.fullmatch(name) or not found[0].endswith("}"):
                raise self.fault(path, f"{found[0]} is no variable; write $${{ for the characters themselves")
            if name not in environ:
                raise self.fault(path, f"the variable {name} is not set")
            self.hidden.add(path)
            return environ[name]

        return _VARIABLE.sub(value, text)
