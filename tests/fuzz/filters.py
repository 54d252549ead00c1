"""Fuzzes the filter language: whatever bytes come as filter and event, it refuses or decides, quickly and consistently.

    python -m tests.fuzz.filters [libFuzzer options]

Needs atheris, in an environment of its own (`make fuzz-filters`). An input is a filter, a zero byte and an event. Any
exception but a refusal is a finding, and so is an index that disagrees with the matcher, or a match that is explained.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["eventmill.core"]):
    from eventmill.core.ruler import compile_filter
    from eventmill.core.ruler_event import read_event
    from eventmill.core.ruler_index import FilterIndex
    from eventmill.core.ruler_match import explain_miss, matches, view_event
    from eventmill.errors import GatewayError

CASES = Path(__file__).parents[1] / "unit" / "filter_cases.json"
WORDS = (
    *("prefix", "suffix", "equals-ignore-case", "anything-but", "numeric", "exists", "cidr", "$or", "null", "true"),
    *('{"', '":[', '"]}', "},{", "1e308", "1e-324", "10.0.0.1/31", "::1/127", "\\u00e9", "123456789012345678901"),
)


def try_input(raw: bytes) -> None:
    text, _, event = raw.partition(b"\0")
    try:
        wanted = compile_filter(text.decode("utf-8", "replace"))
    except GatewayError:
        return
    try:
        if not isinstance(json.loads(event), dict):
            return
    except (ValueError, RecursionError):
        return  # publishing lets no such event in
    document = read_event(event)
    view = view_event(document, wanted.paths)
    found = matches(wanted, view)
    assert bool(explain_miss(wanted, view)) != found
    assert bool(FilterIndex({0: wanted}).match(document)) == found


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="eventmill-fuzz-") as directory:
        corpus, words = Path(directory, "corpus"), Path(directory, "words")
        corpus.mkdir()
        for number, case in enumerate(json.loads(CASES.read_text())):
            (corpus / str(number)).write_bytes(f"{case['filter']}\0{case['event']}".encode())
        escaped = ["".join(f"\\x{byte:02x}" for byte in word.encode()) for word in WORDS]
        words.write_text("".join(f'"{word}"\n' for word in escaped))
        atheris.Setup([*sys.argv, f"-dict={words}", str(corpus)], try_input)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
