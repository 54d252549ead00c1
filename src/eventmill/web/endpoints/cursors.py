"""Named cursors of journals, kept by the gateway. Additions of ours."""

from __future__ import annotations

from eventmill.errors import Reason
from eventmill.web import cursors
from eventmill.web.cursors import CursorBody, CursorForm, CursorList, LeaseForm
from eventmill.web.endpoint import NO_CONTENT, Endpoint, Group, Operation, Parameter, RequestBody, json_answer

_CURSORS = "/events/organizations/{org}/integrations/{credential}/{registration}/cursors"
_CURSOR = _CURSORS + "/{cursor}"
_IF_MATCH = Parameter("if-match", str, "The ETag that the cursor must still have; `*`: it must exist.", "header")
_IF_NONE_MATCH = Parameter("if-none-match", str, "`*`: it must not exist.", "header")
_POSITION = "1.1.0.20260301.42"

CURSORS = Group(
    tag="Cursors",
    about="How far the readers of a journal have come: kept by the gateway, under names. An addition to the Adobe API.",
    is_cross_origin=True,
    for_callers=(
        Endpoint(
            "GET",
            _CURSORS,
            cursors.list_cursors,
            Operation(
                "listCursors",
                "List the cursors of a journal",
                (json_answer(CursorList, 200, "Cache-Control"),),
                refusals=(Reason.WRONG_API_KEY,),
            ),
        ),
        Endpoint(
            "GET",
            _CURSOR,
            cursors.get_cursor,
            Operation(
                "getCursor",
                "Read a cursor",
                (json_answer(CursorBody, 200, "ETag", "Cache-Control"),),
                refusals=(Reason.WRONG_API_KEY,),
            ),
        ),
        Endpoint(
            "PUT",
            _CURSOR,
            cursors.put_cursor,
            Operation(
                "putCursor",
                "Create or move a cursor",
                (
                    json_answer(CursorBody, 200, "ETag", "Cache-Control"),
                    json_answer(CursorBody, 201, "ETag", "Cache-Control"),
                ),
                (_IF_MATCH, _IF_NONE_MATCH),
                (RequestBody(CursorForm, example={"position": _POSITION}),),
                (
                    Reason.WRONG_API_KEY,
                    Reason.INVALID_PARAMETER,
                    Reason.INVALID_POSITION,
                    Reason.POSITION_EXPIRED,
                    Reason.PRECONDITION_FAILED,
                    Reason.LEASE_LOST,
                    Reason.QUOTA_REACHED,
                    Reason.STALE_VERSION,
                ),
                "While the cursor is leased, only with the fence of that lease.",
            ),
        ),
        Endpoint(
            "DELETE",
            _CURSOR,
            cursors.delete_cursor,
            Operation(
                "deleteCursor",
                "Delete a cursor",
                (NO_CONTENT,),
                (_IF_MATCH,),
                refusals=(Reason.WRONG_API_KEY, Reason.PRECONDITION_FAILED, Reason.STALE_VERSION),
            ),
        ),
        Endpoint(
            "POST",
            _CURSOR + "/lease",
            cursors.lease_cursor,
            Operation(
                "leaseCursor",
                "Lease a cursor, extend the lease or give it back",
                (json_answer(CursorBody, 200, "ETag", "Cache-Control"),),
                (),
                (RequestBody(LeaseForm, example={"holder": "reader-1", "ttl_seconds": 30}),),
                (Reason.WRONG_API_KEY, Reason.LEASE_HELD, Reason.LEASE_LOST, Reason.STALE_VERSION),
                "So that one of several readers reads at a time. A new lease has a new fence, which voids older ones.",
            ),
        ),
    ),
)
