"""The one way in which a demo that has begun ends badly."""

from __future__ import annotations


class DemoFailedError(Exception):
    """Something did not come out as it must; the message says what. The gateway's log and data are kept for a look."""
