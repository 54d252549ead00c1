"""GET /ims/organizations/v6 and /ims/profile/v1: the organizations and the user of the bearer token.

Nobody keeps people here: the profile says what the token says.
"""

from __future__ import annotations

from eventmill.errors import GatewayError, Reason
from eventmill.model import Organization
from eventmill.web.http import NOT_STORED, Reply, Request, json_reply
from eventmill.web.ims.shapes import ImsOrganization, OrgRef, Profile
from eventmill.web.parts import Parts
from eventmill.web.standing import organization_of
from eventmill.web.tokens import Token, invalid_token


async def list_organizations(parts: Parts, request: Request) -> Reply:
    token = await _identify(parts, request)
    if token is None or (token.is_operator and not token.org):
        found = parts.catalogue.organizations()
    else:
        own = organization_of(token, parts.catalogue)
        if own is None:
            raise GatewayError(Reason.WRONG_ORGANIZATION, "the access token is for no organization of this gateway")
        found = [own]
    return json_reply(200, [_organization_body(each) for each in found], headers=NOT_STORED)


async def get_profile(parts: Parts, request: Request) -> Reply:
    token = await _identify(parts, request)
    user_id = "local@localhost" if token is None else token.user_id
    name = user_id.partition("@")[0]
    is_service = user_id.endswith("@techacct.adobe.com")
    body = Profile(
        user_id=user_id,
        auth_id=user_id,
        account_type="service" if is_service else "type3",
        email=user_id,
        email_verified="true",
        name=name,
        display_name=name,
        first_name=name,
        last_name="",
    )
    return json_reply(200, body, headers=NOT_STORED)


async def _identify(parts: Parts, request: Request) -> Token | None:
    await parts.authenticator.prepare(request.headers)
    token = await parts.authenticator.identify_newest(request.headers)
    if token is not None and token.type != "access_token":
        raise invalid_token("it is not an access token")
    return token


def _organization_body(organization: Organization) -> ImsOrganization:
    ident, _, source = organization.ims_org_id.partition("@")
    return ImsOrganization(
        org_name=organization.name,
        org_ref=OrgRef(ident=ident, auth_src=source or "AdobeOrg"),
        org_type="Enterprise",
        country_code=None,
        groups=[],
    )
