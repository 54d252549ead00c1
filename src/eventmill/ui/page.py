"""What a page is: how it is reached, who may see it, which handler makes it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import msgspec

from eventmill.model import Role

if TYPE_CHECKING:
    from eventmill.ui.visit import Visit
    from eventmill.web.http import Reply

PageHandler = Callable[["Visit"], Awaitable["Reply"]]


class Page(msgspec.Struct, frozen=True):
    """`pattern` is below `/ui/orgs/{org}`, where a person who may not see the organization gets 404, unless it begins
    with `/ui`."""

    method: str
    pattern: str
    handler: PageHandler
    title: str = ""
    role: Role = "viewer"
    """What the person must be, at least."""
    section: str = ""
    """Which entry of the navigation it belongs to."""
    is_open: bool = False
    """Needs nobody to have signed in."""
    dev_only: bool = False


class Section(msgspec.Struct, frozen=True):
    """An entry of the navigation, shown once a page has its path."""

    name: str
    title: str
    path: str
    """Below `/ui/orgs/{org}`."""
    icon: str


SECTIONS = (
    Section("overview", "Overview", "", "gauge"),
    Section("registrations", "Registrations", "/registrations", "hook"),
    Section("providers", "Providers", "/providers", "source"),
    Section("events", "Events", "/search", "search"),
    Section("projects", "Projects", "/projects", "folder"),
    Section("operations", "Operations", "/operations", "server"),
    Section("emulator", "Emulator", "/emulator", "flask"),
)
