"""Real events in a file, to be published again in tests: recorded from a journal, secrets left out.

The file is JSON lines: a first line that says what it is, then an event per line, oldest first (`docs/testing.md`).
Only CloudEvents can be published again, so what other providers send is refused.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eventmill.client import Client, Event, Reading, Registration

FORMAT = {"format": "eventmill-recording", "version": 1}
MASKED = "***"
_OF_THE_RECIPIENT = ("eventid", "event_id", "recipientclientid", "recipient_client_id")
_SECRET = re.compile(
    r"authorization|cookie|password|passwd|secret|credential|api[-_]?key|private[-_]?key|token|signature", re.IGNORECASE
)


@dataclass(frozen=True)
class Recording:
    """Events as their publishers sent them."""

    events: list[Event]

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Recording:
        """Raises `ValueError` naming the line that is not as the format wants it."""
        first, *lines = Path(path).read_text("utf-8").splitlines() or [""]
        if _parsed(first) != FORMAT:
            raise ValueError(f"{path} is no recording: its first line is not {json.dumps(FORMAT)}")
        events = []
        for number, line in enumerate(lines, 2):
            event = _parsed(line)
            if not isinstance(event, dict):
                raise ValueError(f"{path}, line {number}: not a JSON object")
            _check(event, f"{path}, line {number}")
            events.append(event)
        return cls(events)

    def save(self, path: str | os.PathLike[str]) -> None:
        """A file that can be kept with the tests, and read in a diff."""
        lines = [json.dumps(each, ensure_ascii=False) for each in (FORMAT, *self.events)]
        Path(path).write_text("\n".join(lines) + "\n", "utf-8")

    @property
    def topics(self) -> list[tuple[str, str]]:
        """The different (source, type), in order of appearance."""
        return list(dict.fromkeys((event["source"], event["type"]) for event in self.events))


def record(
    client: Client, journal: str | Registration, reading: Reading, clean: Callable[[Event], Event] | None = None
) -> Recording:
    """What the journal has, from where `reading` begins to its end. Members that sound like secrets are masked, the
    recipient's ids left out; `clean` sees each event after that, and may take out more. Saves no checkpoint."""
    events = []
    to_the_end = Reading(latest=reading.latest, since=reading.since, seek=reading.seek, until_idle=True)
    for entry in client.read_journal(journal, to_the_end):
        _check(entry["event"], f"position {entry['position']}")
        event = {name: value for name, value in entry["event"].items() if name not in _OF_THE_RECIPIENT}
        masked: Event = mask(event)
        events.append(masked if clean is None else clean(masked))
    return Recording(events)


def mask(value: Any) -> Any:
    """A JSON value without what is in members whose names sound like secrets."""
    if isinstance(value, dict):
        return {name: MASKED if _SECRET.search(name) else mask(each) for name, each in value.items()}
    return [mask(each) for each in value] if isinstance(value, list) else value


def replay(
    client: Client, recording: Recording, subscribe: Callable[[list[tuple[str, str]]], Registration], label: str
) -> Registration:
    """Publishes the events in order, from new providers that stand for those recorded, whose labels begin with `label`.
    `subscribe` is given (provider id, event code) of all of them before the first event goes out."""
    sources: dict[str, str] = {}
    topics: list[tuple[str, str]] = []
    for source, code in recording.topics:
        if source not in sources:
            sources[source] = client.create_provider({"label": f"{label} {len(sources) + 1}"})["id"]
        metadata: Any = {"event_code": code, "label": code[:255], "description": "As recorded"}
        client.create_event_metadata_for_provider(sources[source], metadata)
        topics.append((sources[source], code))
    registration = subscribe(topics)
    for event in recording.events:
        client.publish_event({**event, "source": f"urn:uuid:{sources[event['source']]}"})
    return registration


def _check(event: Event, where: str) -> None:
    missing = [name for name in ("id", "source", "type") if not isinstance(event.get(name), str)]
    if missing:
        raise ValueError(f"{where}: no CloudEvent, it has no {' and no '.join(missing)}")


def _parsed(line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None
