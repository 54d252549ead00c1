"""JSON Patch (RFC 6902) on the documents of the management API, behind limits: every refusal names the operation.

Works on plain JSON only; what the patched document must look like is the handlers' question.
"""

from __future__ import annotations

from functools import cache
from types import ModuleType
from typing import Any

import msgspec

from eventmill.config import Config
from eventmill.errors import GatewayError, Reason
from eventmill.web.checks import check_depth, parse_text_json, show, too_deep
from eventmill.web.http import JSON_TYPE, PATCH_TYPE, Request

POINTER_SEGMENTS_MAX = 16
_CAUSE_CHARS = 160
_PATCHED = "the patched document"


@cache
def _library() -> ModuleType:
    """Loaded when the first patch comes: it takes a twentieth of a second, which a start should not wait for."""
    import jsonpatch

    return jsonpatch


async def read_patch(request: Request, config: Config) -> bytes:
    """The body of a PATCH. Raises `UNSUPPORTED_MEDIA_TYPE`, `TOO_LARGE`."""
    return await request.json_body(config.patch_bytes_max, PATCH_TYPE, JSON_TYPE)


def apply_patch(document: dict[str, Any], patch: bytes, config: Config) -> dict[str, Any]:
    """`document`, which is changed, after every operation of `patch`. Raises `INVALID_PATCH`, `TOO_LARGE`.

    What operations copy may not add up to more than a whole body: each could double the document otherwise."""
    patched: Any = document
    copied_bytes = 0
    try:
        for at, operation in enumerate(_read_operations(patch, config.patch_operations_max)):
            try:
                copied_bytes += _copied_bytes(patched, operation)
                _check_size(copied_bytes, config)
                patched = _library().JsonPatch([operation]).apply(patched, in_place=True)
            except (_library().JsonPatchException, _library().JsonPointerException) as error:
                raise _refused(at, operation, error) from None
        check_depth(patched, _PATCHED)
        _check_size(len(msgspec.json.encode(patched)), config)
    except RecursionError:
        raise too_deep(_PATCHED) from None
    if not isinstance(patched, dict):
        raise GatewayError(Reason.INVALID_PATCH, f"{_PATCHED} must be a JSON object")
    return patched


def _read_operations(patch: bytes, operations_max: int) -> list[Any]:
    operations = parse_text_json(patch)
    if not isinstance(operations, list):
        raise GatewayError(Reason.INVALID_PATCH, "a JSON Patch must be an array of operations")
    if len(operations) > operations_max:
        message = f"a JSON Patch may have {operations_max} operations, but this one has {len(operations)}"
        raise GatewayError(Reason.INVALID_PATCH, message)
    for at, operation in enumerate(operations):
        for name in ("path", "from"):
            pointer = operation.get(name) if isinstance(operation, dict) else None
            if isinstance(pointer, str) and pointer.count("/") > POINTER_SEGMENTS_MAX:
                message = f"operation {at}: {name} has more than {POINTER_SEGMENTS_MAX} segments"
                raise GatewayError(Reason.INVALID_PATCH, message)
    return operations


def _copied_bytes(document: Any, operation: Any) -> int:
    if not isinstance(operation, dict) or operation.get("op") != "copy" or not isinstance(operation.get("from"), str):
        return 0
    return len(msgspec.json.encode(_library().JsonPointer(operation["from"]).resolve(document)))


def _check_size(size_bytes: int, config: Config) -> None:
    if size_bytes > config.request_bytes_max:
        message = f"{_PATCHED} would be larger than {config.request_bytes_max} bytes"
        raise GatewayError(Reason.TOO_LARGE, message)


def _refused(at: int, operation: Any, error: Exception) -> GatewayError:
    path = operation.get("path") if isinstance(operation, dict) else None
    where = f"operation {at}" + (f" at {show(path)}" if isinstance(path, str) else "")
    if isinstance(error, _library().JsonPatchTestFailed):
        return GatewayError(Reason.INVALID_PATCH, f"{where}: the value there is not the tested one")
    cause = ascii(str(error))[1:-1]  # may repeat whatever the caller sent
    return GatewayError(Reason.INVALID_PATCH, f"{where}: {cause[:_CAUSE_CHARS]}")
