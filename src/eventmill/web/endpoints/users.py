"""People who sign in to the console."""

from __future__ import annotations

from eventmill.errors import Reason
from eventmill.web import users
from eventmill.web.endpoint import NO_CONTENT, Endpoint, Group, Operation, RequestBody, json_answer
from eventmill.web.user_forms import UserForm, UserUpdate

_USERS = "/console/users"
_USER = _USERS + "/{user}"

USERS = Group(
    tag="Users",
    about="People who sign in to the console: Eventmill's own addition. Writing them is the operator's alone.",
    is_console=True,
    for_callers=(
        Endpoint(
            "GET",
            _USERS,
            users.list_users,
            Operation("listUsers", "List users", (json_answer(list[users.UserBody]),)),
        ),
        Endpoint(
            "POST",
            _USERS,
            users.create_user,
            Operation(
                "createUser",
                "Create a user",
                (json_answer(users.UserBody, 201),),
                bodies=(
                    RequestBody(
                        UserForm, example={"name": "ops@example.com", "password": "long enough", "role": "viewer"}
                    ),
                ),
                refusals=(Reason.NOT_PERMITTED, Reason.CONFLICT),
            ),
        ),
        Endpoint(
            "PATCH",
            _USER,
            users.update_user,
            Operation(
                "editUser",
                "Change the password, the role or the organizations of a user",
                (json_answer(users.UserBody),),
                bodies=(RequestBody(UserUpdate, example={"role": "developer"}),),
                refusals=(Reason.NOT_PERMITTED, Reason.STALE_VERSION),
                about="Ends the user's sessions.",
            ),
        ),
        Endpoint(
            "DELETE",
            _USER,
            users.delete_user,
            Operation("deleteUser", "Delete a user", (NO_CONTENT,), refusals=(Reason.NOT_PERMITTED,)),
        ),
    ),
)
