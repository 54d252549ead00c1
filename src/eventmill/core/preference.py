"""What a reader asks for beside the contract: how long to wait (RFC 7240), and which form of answer (RFC 9110 §12.5.1).

Both are wishes: what cannot be understood is passed over, never refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

_PREFERENCE = re.compile(r'(?:[^,"]++|"(?:[^"\\]++|\\.)*+"?)++', re.DOTALL)
"""Up to a comma outside of quotes. Nothing of it is tried twice: a header may have 64 KB."""
_WAIT = re.compile(r'wait\s*=\s*(?P<quote>"?)(?P<seconds>\d{1,9})(?P=quote)\s*(;.*)?', re.ASCII | re.IGNORECASE)
_QUALITY = re.compile(r"q\s*=\s*(0(\.\d{0,3})?|1(\.0{0,3})?)", re.ASCII | re.IGNORECASE)


def read_wait(prefer: Sequence[str]) -> int:
    """Seconds of the `wait` preference in the values of the `Prefer` headers; 0 without one. The first one counts."""
    for value in prefer:
        for preference in _PREFERENCE.findall(value):
            found = _WAIT.fullmatch(preference.strip())
            if found is not None:
                return int(found["seconds"])
    return 0


def names_type(accept: str, media_type: str, before: str = "") -> bool:
    """Whether `Accept` names the type itself, and not after `before`, which a range may stand for."""
    wanted = unwanted = 0.0
    for name, quality in _ranges(accept):
        if name == media_type:
            wanted = max(wanted, quality)
        elif before and name in (before, before.partition("/")[0] + "/*"):
            unwanted = max(unwanted, quality)
    return wanted > 0 and wanted >= unwanted


def _ranges(accept: str) -> Iterator[tuple[str, float]]:
    for each in accept.split(","):
        name, *parameters = (part.strip() for part in each.split(";"))
        qualities = [found for found in map(_QUALITY.fullmatch, parameters) if found is not None]
        yield name.lower(), float(qualities[0][1]) if qualities else 1.0
