"""Every page of the console, and the router made of them."""

from __future__ import annotations

from eventmill.ui.cookies import ROOT
from eventmill.ui.page import Page
from eventmill.ui.pages.credentials import PAGES as CREDENTIALS
from eventmill.ui.pages.cursors import PAGES as CURSORS
from eventmill.ui.pages.emulator import PAGES as EMULATOR
from eventmill.ui.pages.event import PAGES as EVENT
from eventmill.ui.pages.event_type_forms import PAGES as EVENT_TYPE_FORMS
from eventmill.ui.pages.event_types import PAGES as EVENT_TYPES
from eventmill.ui.pages.filters import PAGES as FILTERS
from eventmill.ui.pages.home import PAGES as HOME
from eventmill.ui.pages.journal import PAGES as JOURNAL
from eventmill.ui.pages.operations import PAGES as OPERATIONS
from eventmill.ui.pages.overview import PAGES as OVERVIEW
from eventmill.ui.pages.projects import PAGES as PROJECTS
from eventmill.ui.pages.providers import PAGES as PROVIDERS
from eventmill.ui.pages.registration import PAGES as REGISTRATION
from eventmill.ui.pages.registrations import PAGES as REGISTRATIONS
from eventmill.ui.pages.replays import PAGES as REPLAYS
from eventmill.ui.pages.search import PAGES as SEARCH
from eventmill.ui.pages.sign_in import PAGES as SIGN_IN
from eventmill.ui.pages.traces import PAGES as TRACES
from eventmill.ui.pages.undelivered import PAGES as UNDELIVERED
from eventmill.ui.pages.users import PAGES as USERS
from eventmill.ui.pages.wizard import PAGES as WIZARD
from eventmill.ui.pages.workspaces import PAGES as WORKSPACES
from eventmill.web.routing import Router

PAGES: tuple[Page, ...] = (
    *SIGN_IN,
    *HOME,
    *OVERVIEW,
    *PROJECTS,
    *WORKSPACES,
    *CREDENTIALS,
    *PROVIDERS,
    *EVENT_TYPES,
    *EVENT_TYPE_FORMS,
    *REGISTRATIONS,
    *WIZARD,
    *REGISTRATION,
    *TRACES,
    *JOURNAL,
    *CURSORS,
    *FILTERS,
    *UNDELIVERED,
    *REPLAYS,
    *SEARCH,
    *EVENT,
    *OPERATIONS,
    *EMULATOR,
    *USERS,
)


def path_of(page: Page) -> str:
    return page.pattern if page.pattern.startswith(ROOT) else f"{ROOT}/orgs/{{org}}{page.pattern}"


def page_router(*, dev_mode: bool) -> Router[Page]:
    router: Router[Page] = Router()
    for page in PAGES:
        if dev_mode or not page.dev_only:
            router.add(page.method, path_of(page), page)
    return router
