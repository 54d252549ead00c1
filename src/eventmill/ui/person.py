"""Who looks at the console, and what that person may see and do."""

from __future__ import annotations

import msgspec

from eventmill.model import OrgId, Role

_RANK: dict[Role, int] = {"viewer": 0, "developer": 1, "admin": 2}


class Person(msgspec.Struct, frozen=True):
    name: str
    role: Role
    orgs: tuple[OrgId, ...] = ()
    """None: every organization."""
    csrf: str = ""
    """What each of the person's forms has to carry."""
    can_sign_out: bool = True
    client_id: str = ""
    """Of the credential in whose place the person acts, where the API asks for one: journals belong to theirs."""

    def may(self, role: Role) -> bool:
        """Whether the person may do what needs `role`."""
        return _RANK[self.role] >= _RANK[role]

    def sees(self, org: OrgId) -> bool:
        return not self.orgs or org in self.orgs

    @property
    def runs_gateway(self) -> bool:
        """An admin of the installation, not of some organizations only."""
        return self.role == "admin" and not self.orgs


def highest_role(roles: list[Role]) -> Role | None:
    return max(roles, key=lambda role: _RANK[role], default=None)
