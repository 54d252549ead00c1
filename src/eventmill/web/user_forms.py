"""Input models of /console/users."""

from __future__ import annotations

from typing import Annotated

import msgspec

from eventmill.model import Role

_END = r"$(?!\n)"

UserName = Annotated[
    str,
    msgspec.Meta(
        max_length=128,
        pattern=f"^[A-Za-z0-9][A-Za-z0-9._@+-]*{_END}",
        description="What the person signs in with, such as a mail address.",
        extra={"allowed": "letters, digits and ._@+-"},
    ),
]
Password = Annotated[str, msgspec.Meta(min_length=10, max_length=256, description="Stored as a hash only.")]
Organizations = Annotated[
    list[str], msgspec.Meta(max_length=1000, description="Ids of what the person may see; none: every organization.")
]


class UserForm(msgspec.Struct, frozen=True):
    name: UserName
    password: Password
    role: Role
    organizations: Organizations = []


class UserUpdate(msgspec.Struct, frozen=True):
    """What is missing stays as it is."""

    password: Password | None = None
    role: Role | None = None
    organizations: Organizations | None = None
