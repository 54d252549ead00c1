"""Tokens and their keys, as the IMS gives them (RFC 6749, RFC 7009, RFC 7517)."""

from __future__ import annotations

from eventmill.errors import Reason
from eventmill.web.endpoint import (
    FORM,
    MULTIPART,
    Answer,
    Endpoint,
    Group,
    OpenHandler,
    Operation,
    RequestBody,
    json_answer,
)
from eventmill.web.http import JSON_TYPE
from eventmill.web.ims import grants, jwks, people, tokens
from eventmill.web.ims.shapes import (
    AssertionForm,
    Done,
    ImsOrganization,
    KeySet,
    NewKey,
    Profile,
    TokenBody,
    TokenEnd,
    TokenForm,
    TokenQuestion,
    TokenRefusalBody,
    TokenVerdict,
)

_FORMS = (FORM, MULTIPART)
_GOOD_TOKEN = (
    Reason.MISSING_TOKEN,
    Reason.INVALID_TOKEN,
    Reason.EXPIRED_TOKEN,
    Reason.REVOKED_TOKEN,
    Reason.ISSUER_UNAVAILABLE,
)
_WORDS = "The fields may come in the query as well; the form wins."


def _refused(*statuses: int) -> tuple[Answer, ...]:
    return tuple(
        Answer(status, TokenRefusalBody, JSON_TYPE, about="Also in the words of RFC 6749.") for status in statuses
    )


def _issuing(pattern: str, name: str) -> Endpoint[OpenHandler]:
    operation = Operation(
        name,
        "Get an access token for a client secret, a code or a refresh token",
        (json_answer(TokenBody, 200, "Cache-Control"), *_refused(400, 401)),
        bodies=(RequestBody(TokenForm, _FORMS, required=False),),
        refusals=(Reason.TOO_LARGE,),
        about=_WORDS,
    )
    return Endpoint("POST", pattern, grants.issue_token, operation)


IMS = Group(
    tag="Tokens",
    about="Access tokens for the credentials of this gateway.",
    for_anyone=(
        _issuing("/ims/token/v1", "getTokenV1"),
        _issuing("/ims/token/v2", "getTokenV2"),
        _issuing("/ims/token/v3", "getAccessTokenByClientCredentials"),
        Endpoint(
            "POST",
            "/ims/exchange/jwt",
            grants.exchange_assertion,
            Operation(
                "exchangeJwtToken",
                "Get an access token for a signed assertion",
                (json_answer(TokenBody, 200, "Cache-Control"), *_refused(400, 401)),
                bodies=(RequestBody(AssertionForm, _FORMS, required=False),),
                refusals=(Reason.TOO_LARGE,),
                about=_WORDS,
            ),
        ),
        Endpoint(
            "POST",
            "/ims/validate_token/v1",
            tokens.validate_token,
            Operation(
                "validateToken",
                "Ask whether a token is good",
                (json_answer(TokenVerdict, 200, "Cache-Control"),),
                bodies=(RequestBody(TokenQuestion, _FORMS, required=False),),
                refusals=(Reason.INVALID_PARAMETER, Reason.TOO_LARGE),
                about=_WORDS,
            ),
        ),
        Endpoint(
            "POST",
            "/ims/invalidate_token/v2",
            tokens.invalidate_token,
            Operation(
                "invalidateToken",
                "End a token",
                (json_answer(Done, 200, "Cache-Control"), *_refused(400, 401, 403)),
                bodies=(RequestBody(TokenEnd, _FORMS, required=False),),
                refusals=(Reason.TOO_LARGE, Reason.STORE_UNAVAILABLE),
                about=_WORDS,
            ),
        ),
        Endpoint(
            "GET",
            "/ims/organizations/v6",
            people.list_organizations,
            Operation(
                "getImsOrganizations",
                "List the organizations of the bearer token",
                (json_answer(list[ImsOrganization], 200, "Cache-Control"),),
                refusals=(*_GOOD_TOKEN, Reason.WRONG_ORGANIZATION),
            ),
        ),
        Endpoint(
            "GET",
            "/ims/profile/v1",
            people.get_profile,
            Operation(
                "getProfile",
                "Read whom the bearer token is for",
                (json_answer(Profile, 200, "Cache-Control"),),
                refusals=_GOOD_TOKEN,
            ),
        ),
        Endpoint(
            "GET",
            "/ims/keys",
            jwks.get_keys,
            Operation(
                "getTokenKeys", "Read the public keys of access tokens", (json_answer(KeySet, 200, "Cache-Control"),)
            ),
        ),
        Endpoint(
            "GET",
            "/.well-known/jwks.json",
            jwks.get_keys,
            Operation(
                "getKeySet",
                "Read the public keys of access tokens, at the usual address",
                (json_answer(KeySet, 200, "Cache-Control"),),
            ),
        ),
    ),
    for_callers=(
        Endpoint(
            "POST",
            "/ims/keys",
            jwks.post_key,
            Operation(
                "rotateTokenKey",
                "Sign tokens with a new key from now on",
                (json_answer(NewKey, 201),),
                bodies=(RequestBody(jwks.RotateForm, required=False),),
                refusals=(Reason.NOT_PERMITTED, Reason.STALE_VERSION),
                about="The operator's. `revoke_earlier` voids every token there is.",
            ),
        ),
    ),
)
