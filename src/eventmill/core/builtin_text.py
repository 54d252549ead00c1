"""The text of a catalogue file as a JSON object: UTF-8, names once, numbers and depth within reason."""

from __future__ import annotations

import json
from typing import Any

import msgspec

DEPTH_MAX = 60
"""Levels of arrays and objects: a few less than a request may have, so that every sample can be posted back."""


class CatalogueFileError(ValueError):
    """The message opens with the place: a line, or the path of a member."""


def parse_catalogue_text(text: bytes) -> dict[str, Any]:
    """The JSON object in `text`. Raises `CatalogueFileError`."""
    try:
        document = json.loads(text.decode("utf-8"), object_pairs_hook=_members, parse_constant=_refuse_constant)
        msgspec.json.encode(document)
    except UnicodeDecodeError as error:
        raise CatalogueFileError(f"byte {error.start}: is not UTF-8") from None
    except UnicodeEncodeError:
        raise CatalogueFileError("a string holds half of a surrogate pair") from None
    except json.JSONDecodeError as error:
        raise CatalogueFileError(f"line {error.lineno} column {error.colno}: is not JSON: {error.msg}") from None
    except RecursionError:
        raise _too_deep() from None
    except CatalogueFileError:
        raise
    except (OverflowError, ValueError):
        raise CatalogueFileError("a number has too many digits") from None
    if not isinstance(document, dict):
        raise CatalogueFileError("line 1: a catalogue file holds one JSON object")
    _check_depth(document)
    return document


def _check_depth(document: dict[str, Any]) -> None:
    level: list[Any] = [document]
    for _ in range(DEPTH_MAX):
        nested = [each for each in level if isinstance(each, dict | list)]
        level = [child for each in nested for child in (each.values() if isinstance(each, dict) else each)]
    if any(isinstance(each, dict | list) for each in level):
        raise _too_deep()


def _too_deep() -> CatalogueFileError:
    return CatalogueFileError(f"the file is nested deeper than {DEPTH_MAX} levels")


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for name, value in pairs:
        if name in members:
            raise CatalogueFileError(f"{name}: appears twice in one object")
        members[name] = value
    return members


def _refuse_constant(name: str) -> None:
    raise CatalogueFileError(f"{name}: is not JSON")
