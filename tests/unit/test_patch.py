"""JSON Patch on plain documents: whatever operations come, the result is a bounded document or a named refusal."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventmill.config import Config
from eventmill.errors import GatewayError, Reason
from eventmill.web.checks import check_depth
from eventmill.web.patch import apply_patch

CONFIG = Config(request_bytes_max=500, patch_operations_max=20)


def document() -> dict[str, Any]:
    return {"label": "Warehouse", "docs_url": None, "list": [1, {"a": [2]}, 3], "a": {"b": {"": 1, "/": 2, "~": 3}}}


def patched(*operations: Any, config: Config = CONFIG) -> dict[str, Any]:
    return apply_patch(document(), json.dumps(operations).encode(), config)


# RFC 6902 appendix A and RFC 6901 section 4, on a document of ours.
@pytest.mark.parametrize(
    ("operations", "path", "value"),
    [
        ([{"op": "add", "path": "/list/1", "value": "x"}], ("list",), [1, "x", {"a": [2]}, 3]),
        ([{"op": "add", "path": "/list/-", "value": [4]}], ("list", 3), [4]),
        ([{"op": "remove", "path": "/list/1"}], ("list",), [1, 3]),
        ([{"op": "replace", "path": "/docs_url", "value": "x", "more": 1}], ("docs_url",), "x"),
        ([{"op": "move", "from": "/list/0", "path": "/list/2"}], ("list",), [{"a": [2]}, 3, 1]),
        ([{"op": "copy", "from": "/list/1", "path": "/label"}], ("label",), {"a": [2]}),
        ([{"op": "add", "path": "/label", "value": "new"}], ("label",), "new"),
        ([{"op": "add", "path": "/a/b/~1", "value": 5}], ("a", "b", "/"), 5),
        ([{"op": "replace", "path": "/a/b/~0", "value": 6}], ("a", "b", "~"), 6),
        ([{"op": "replace", "path": "/a/b/", "value": 7}], ("a", "b", ""), 7),
        ([{"op": "test", "path": "/list/1/a/0", "value": 2.0}], ("list", 0), 1),
        ([{"op": "test", "path": "/a/b", "value": {"~": 3, "/": 2, "": 1}}], ("list", 0), 1),
    ],
)
def test_operations(operations: list[Any], path: tuple[Any, ...], value: Any) -> None:
    """Each does what the RFC says."""
    found: Any = patched(*operations)
    for step in path:
        found = found[step]

    assert found == value


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "add", "path": "/list/5", "value": 1},
        {"op": "add", "path": "/none/x", "value": 1},
        {"op": "add", "path": "/label/x", "value": 1},
        {"op": "add", "path": "/list/-1", "value": 1},
        {"op": "add", "path": "/list/01", "value": 1},
        {"op": "add", "path": "/list/\u0661", "value": 1},
        {"op": "remove", "path": "/list/-"},
        {"op": "remove", "path": "/a/~2"},
        {"op": "replace", "path": "/list/1e0", "value": 1},
        {"op": "copy", "from": "/list/9", "path": "/x"},
        {"op": "copy", "from": "list", "path": "/x"},
        {"op": "move", "from": "/a", "path": "/a/b"},
        {"op": "test", "path": "/docs_url", "value": False},
        {"op": "test", "path": "/list/0", "value": True},
        {"op": "test", "path": "/label"},
        {"op": ["add"], "path": "/x", "value": 1},
        {"op": "append", "path": "/label", "value": "x"},
    ],
)
def test_operations_that_cannot_be(operation: Any) -> None:
    """Each is refused by its index."""
    with pytest.raises(GatewayError, match=r"^operation 1") as refusal:
        patched({"op": "test", "path": "/label", "value": "Warehouse"}, operation)

    assert refusal.value.reason is Reason.INVALID_PATCH


def test_copies_do_not_multiply() -> None:
    """A document that doubles with every operation is refused long before it is large."""
    with pytest.raises(GatewayError, match="would be larger than 500 bytes") as refusal:
        patched(*({"op": "copy", "from": "", "path": f"/x{n}"} for n in range(20)))

    assert refusal.value.reason is Reason.TOO_LARGE


def test_one_body_is_applied_alike_each_time() -> None:
    """A patch whose operations change what earlier ones added can be applied again: a lost race is not seen in it."""
    body = json.dumps(
        [{"op": "add", "path": "/x", "value": {}}, {"op": "add", "path": "/x/y", "value": []}]
        + [{"op": "add", "path": "/x/y/-", "value": 1}] * 2
    ).encode()

    assert apply_patch(document(), body, CONFIG) == apply_patch(document(), body, CONFIG)


_POINTERS = st.lists(st.sampled_from(["label", "list", "a", "b", "0", "1", "-", "", "~1", "~", "x"]), max_size=5).map(
    lambda steps: "".join(f"/{step}" for step in steps)
)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=8,
)
_OPERATIONS = st.fixed_dictionaries(
    {"op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test", "x"])},
    optional={"path": _POINTERS | _JSON, "from": _POINTERS | _JSON, "value": _JSON},
)


@settings(max_examples=60, deadline=None)
@given(st.lists(_OPERATIONS | _JSON, max_size=21))
def test_any_patch_gives_a_bounded_object_or_a_refusal(operations: list[Any]) -> None:
    """No other exception, and never a result beyond the limits."""
    refusal = result = None
    try:
        result = patched(*operations)
    except GatewayError as error:
        refusal = error

    if refusal is not None:
        assert refusal.reason.status in (400, 413)
        assert refusal.message.isascii() and len(refusal.message) < 400
    else:
        assert len(json.dumps(result, separators=(",", ":"), ensure_ascii=False).encode()) <= 500
        check_depth(result, "the result")
