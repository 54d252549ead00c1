"""The gallery of filters: each operator with an event that it lets through and one that it keeps back."""

from __future__ import annotations

import msgspec


class Pattern(msgspec.Struct, frozen=True):
    key: str
    """In the address of the page that begins with it."""
    title: str
    about: str
    filter: str
    passes: str
    """An event, as far as the filter looks at it."""
    misses: str


GALLERY = (
    Pattern(
        "value",
        "Equal to",
        'One of these values. Types matter: 5 is not "5".',
        '{"data": {"state": ["open", "held"]}}',
        '{"data": {"state": "held"}}',
        '{"data": {"state": "Open"}}',
    ),
    Pattern(
        "code",
        "Event type",
        "One of several event codes.",
        '{"type": ["com.acme.stock.low"]}',
        '{"type": "com.acme.stock.low"}',
        '{"type": "com.acme.stock.moved"}',
    ),
    Pattern(
        "null",
        "Null",
        "The member is there, and null.",
        '{"data": {"owner": [null]}}',
        '{"data": {"owner": null}}',
        '{"data": {}}',
    ),
    Pattern(
        "prefix",
        "Begins with",
        "Of strings.",
        '{"data": {"path": [{"prefix": "/content/dam/"}]}}',
        '{"data": {"path": "/content/dam/a.jpeg"}}',
        '{"data": {"path": "/apps/a.jpeg"}}',
    ),
    Pattern(
        "suffix",
        "Ends with",
        "Of strings; one of several endings.",
        '{"data": {"name": [{"suffix": ".jpeg"}, {"suffix": ".png"}]}}',
        '{"data": {"name": "a.png"}}',
        '{"data": {"name": "a.PNG"}}',
    ),
    Pattern(
        "ending-any-case",
        "Ends with, in any case",
        "Likewise for prefix.",
        '{"data": {"name": [{"suffix": {"equals-ignore-case": ".jpeg"}}]}}',
        '{"data": {"name": "A.JPEG"}}',
        '{"data": {"name": "a.png"}}',
    ),
    Pattern(
        "any-case",
        "Equal to, in any case",
        "Character by character.",
        '{"data": {"city": [{"equals-ignore-case": "genève"}]}}',
        '{"data": {"city": "GENÈVE"}}',
        '{"data": {"city": "Bern"}}',
    ),
    Pattern(
        "anything-but",
        "Anything but",
        "There, and none of these values.",
        '{"data": {"state": [{"anything-but": ["test", "demo"]}]}}',
        '{"data": {"state": "open"}}',
        '{"data": {"state": "demo"}}',
    ),
    Pattern(
        "anything-but-prefix",
        "Not beginning with",
        "There, and no such string.",
        '{"data": {"name": [{"anything-but": {"prefix": "tmp-"}}]}}',
        '{"data": {"name": "report-1"}}',
        '{"data": {"name": "tmp-1"}}',
    ),
    Pattern(
        "anything-but-suffix",
        "Not ending with",
        "There, and no such string.",
        '{"data": {"name": [{"anything-but": {"suffix": [".tmp", ".bak"]}}]}}',
        '{"data": {"name": "a.jpeg"}}',
        '{"data": {"name": "a.bak"}}',
    ),
    Pattern(
        "numeric",
        "Number",
        "=, <, <=, > or >=.",
        '{"data": {"stock": [{"numeric": ["<", 5]}]}}',
        '{"data": {"stock": 3}}',
        '{"data": {"stock": 9}}',
    ),
    Pattern(
        "range",
        "Range of numbers",
        "Above one limit and up to another.",
        '{"data": {"size": [{"numeric": [">", 0, "<=", 5]}]}}',
        '{"data": {"size": 5}}',
        '{"data": {"size": 0}}',
    ),
    Pattern(
        "exists",
        "There",
        "A value of any kind; an object is none.",
        '{"data": {"error": [{"exists": true}]}}',
        '{"data": {"error": null}}',
        '{"data": {}}',
    ),
    Pattern(
        "missing",
        "Not there",
        "No value.",
        '{"data": {"error": [{"exists": false}]}}',
        '{"data": {}}',
        '{"data": {"error": "timeout"}}',
    ),
    Pattern(
        "cidr",
        "Network",
        "IPv4 and IPv6 addresses.",
        '{"data": {"ip": [{"cidr": "10.0.0.0/24"}]}}',
        '{"data": {"ip": "10.0.0.77"}}',
        '{"data": {"ip": "10.0.1.77"}}',
    ),
    Pattern(
        "or",
        "One of several",
        "Branches, of which one is enough.",
        '{"data": {"$or": [{"stock": [0]}, {"state": ["held"]}]}}',
        '{"data": {"stock": 7, "state": "held"}}',
        '{"data": {"stock": 7, "state": "open"}}',
    ),
    Pattern(
        "and",
        "Several fields",
        "Every field has to be satisfied.",
        '{"data": {"warehouse": ["Basel"], "stock": [{"numeric": ["<", 5]}]}}',
        '{"data": {"warehouse": "Basel", "stock": 3}}',
        '{"data": {"warehouse": "Bern", "stock": 3}}',
    ),
    Pattern(
        "array",
        "Elements of an array",
        "Fields of objects in an array are satisfied by one and the same object.",
        '{"data": {"items": {"sku": ["A"], "count": [{"numeric": [">", 1]}]}}}',
        '{"data": {"items": [{"sku": "A", "count": 2}]}}',
        '{"data": {"items": [{"sku": "A", "count": 1}, {"sku": "B", "count": 2}]}}',
    ),
)
