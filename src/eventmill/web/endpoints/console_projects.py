"""The Console API: projects and workspaces."""

from __future__ import annotations

from eventmill.errors import Reason
from eventmill.web.console import download, projects
from eventmill.web.console.forms import PlaceForm, PlaceUpdate, ProjectUpdate
from eventmill.web.console.project_file import ProjectFile
from eventmill.web.console.shapes import (
    ConsoleProject,
    ConsoleWorkspace,
    Namespace,
    NewProject,
    NoEndpoints,
    Obstacles,
    WorkspacePlace,
)
from eventmill.web.endpoint import Endpoint, Group, Operation, RequestBody, json_answer
from eventmill.web.endpoints.console import read
from eventmill.web.ims.shapes import Done

_PROJECTS = "/console/organizations/{org}/projects"
_PROJECT = _PROJECTS + "/{project}"
_WORKSPACE = _PROJECT + "/workspaces/{workspace}"

_WRITES = (Reason.CONFLICT, Reason.STALE_VERSION)
_CREATES = (*_WRITES, Reason.QUOTA_REACHED)

PROJECTS = Group(
    tag="Projects",
    about="Projects and their workspaces.",
    is_console=True,
    for_callers=(
        read(
            _PROJECTS,
            projects.list_projects,
            "getProjectsForOrg",
            "List the projects of an organization",
            list[ConsoleProject],
        ),
        Endpoint(
            "POST",
            _PROJECTS,
            projects.create_project,
            Operation(
                "createProject",
                "Create a project and its first workspace",
                (json_answer(NewProject, 201),),
                bodies=(RequestBody(PlaceForm, example={"name": "Shop", "title": "The shop"}),),
                refusals=_CREATES,
            ),
        ),
        read(_PROJECT, projects.get_project, "getProject", "Read a project", ConsoleProject),
        Endpoint(
            "PATCH",
            _PROJECT,
            projects.update_project,
            Operation(
                "editProject",
                "Change a project",
                (json_answer(ConsoleProject),),
                bodies=(RequestBody(ProjectUpdate, example={"title": "The shop"}),),
                refusals=_WRITES,
            ),
        ),
        Endpoint(
            "DELETE",
            _PROJECT,
            projects.delete_project,
            Operation(
                "deleteProject",
                "Delete a project that has no provider and no registration",
                (json_answer(Done),),
                refusals=_WRITES,
            ),
        ),
        Endpoint(
            "POST",
            _PROJECT + "/can-delete",
            projects.check_project_deletion,
            Operation("checkProjectDeletion", "Ask what keeps a project from being deleted", (json_answer(Obstacles),)),
        ),
        read(
            _PROJECT + "/workspaces",
            projects.list_workspaces,
            "getWorkspacesForProject",
            "List the workspaces of a project",
            list[ConsoleWorkspace],
        ),
        Endpoint(
            "POST",
            _PROJECT + "/workspaces",
            projects.create_workspace,
            Operation(
                "createWorkspace",
                "Create a workspace",
                (json_answer(WorkspacePlace, 201),),
                bodies=(RequestBody(PlaceForm, example={"name": "Stage"}),),
                refusals=_CREATES,
            ),
        ),
        read(_WORKSPACE, projects.get_workspace, "getWorkspace", "Read a workspace", ConsoleWorkspace),
        Endpoint(
            "PATCH",
            _WORKSPACE,
            projects.update_workspace,
            Operation(
                "editWorkspace",
                "Change a workspace",
                (json_answer(ConsoleWorkspace),),
                bodies=(RequestBody(PlaceUpdate, example={"title": "For rehearsals"}),),
                refusals=_WRITES,
            ),
        ),
        Endpoint(
            "DELETE",
            _WORKSPACE,
            projects.delete_workspace,
            Operation(
                "deleteWorkspace",
                "Delete a workspace that has no provider and no registration",
                (json_answer(Done),),
                refusals=_WRITES,
            ),
        ),
        Endpoint(
            "GET",
            _WORKSPACE + "/download",
            download.download_workspace,
            Operation(
                "downloadWorkspaceJson", "Download the project file", (json_answer(ProjectFile, 200, "Cache-Control"),)
            ),
        ),
        Endpoint(
            "POST",
            _WORKSPACE + "/namespace",
            projects.name_namespace,
            Operation("createRuntimeNamespace", "Name the Runtime namespace", (json_answer(Namespace),)),
        ),
        read(
            _WORKSPACE + "/endpoints",
            projects.list_endpoints,
            "getEndPointsInWorkspace",
            "List extension points, of which there are none",
            NoEndpoints,
        ),
    ),
)
