"""What is to be done so that a workspace has what files declare: the pure comparison."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from eventmill.core.declared import Found, Key, Plan, Wanted, guess_template, is_same, mark, unmark
from eventmill.core.declared_diff import make_plan

OWNER = "shop"
PROVIDER = Key("provider", "Warehouse")
CODE = Key("event code", "stock.low", "Warehouse")
REGISTRATION = Key("registration", "Reader")
FIELDS: dict[Key, dict[str, Any]] = {
    PROVIDER: {"description": ""},
    CODE: {"label": "Low", "description": "Low"},
    REGISTRATION: {"description": "", "events": [("Warehouse", "stock.low")], "filter": None},
}


def wanted(key: Key, **fields: Any) -> Wanted:
    return Wanted(key, {**FIELDS[key], **fields}, "events.yaml:1")


def found(key: Key, owner: str = OWNER, *, is_here: bool = True, **fields: Any) -> Found:
    return Found(key, f"id of {key.name}", owner, {**FIELDS[key], **fields}, is_here=is_here)


def done(plan: Plan) -> list[str]:
    return [f"{each.action} {each.key}" for each in plan.steps]


def test_everything_is_created_in_the_order_of_its_needs() -> None:
    """However the file is sorted: the provider, its event code, the registration."""
    plan = make_plan(OWNER, [wanted(REGISTRATION), wanted(CODE), wanted(PROVIDER)], [])

    assert done(plan) == [
        "create provider Warehouse",
        "create event code stock.low of Warehouse",
        "create registration Reader",
    ]
    assert not plan.obstacles


def test_everything_is_deleted_the_other_way_round() -> None:
    """Nothing is taken away from under what needs it."""
    plan = make_plan(OWNER, [], [found(PROVIDER), found(CODE), found(REGISTRATION)])

    assert done(plan) == [
        "delete registration Reader",
        "delete event code stock.low of Warehouse",
        "delete provider Warehouse",
    ]


def test_what_is_as_wanted_is_left_alone() -> None:
    """Numbers are numbers, however written; true is no number."""
    there = found(REGISTRATION, filter={"a": [1.0]}, events_per_second=2)
    asked = wanted(REGISTRATION, filter={"a": [1]}, events_per_second=2.0)

    assert not make_plan(OWNER, [wanted(PROVIDER), wanted(CODE), asked], [found(PROVIDER), found(CODE), there]).steps
    assert not is_same("filter", {"a": [True]}, {"a": [1]})


def test_drift_is_one_change_per_field() -> None:
    """With both values; fields that the file does not say may be anything."""
    plan = make_plan(OWNER, [wanted(PROVIDER)], [found(PROVIDER, description="By hand", docs_url="https://x.example")])

    assert [(each.field, each.before, each.after) for each in plan.steps[0].changes] == [("description", "By hand", "")]


def test_what_nobody_owns_is_adopted_only_if_asked() -> None:
    """The obstacle says how; adopting without a difference still has to set the mark."""
    refused = make_plan(OWNER, [wanted(PROVIDER)], [found(PROVIDER, owner="")])
    assert not refused.steps and "--adopt" in refused.obstacles[0] and refused.obstacles[0].startswith("events.yaml:1:")

    plan = make_plan(OWNER, [wanted(PROVIDER)], [found(PROVIDER, owner="")], adopts=True)
    assert done(plan) == ["adopt provider Warehouse"] and plan.steps[0].changes == ()


def test_what_another_set_or_workspace_has_is_never_taken() -> None:
    """Not with --adopt either."""
    for there in (found(PROVIDER, owner="other"), found(PROVIDER, owner="", is_here=False)):
        plan = make_plan(OWNER, [wanted(PROVIDER)], [there], adopts=True)
        assert not plan.steps and len(plan.obstacles) == 1


def test_a_provider_stays_for_the_event_codes_of_others() -> None:
    """Deleting it would delete them."""
    plan = make_plan(OWNER, [], [found(PROVIDER), found(CODE, owner="")])

    assert not plan.steps and "stock.low" in plan.notes[0]


def test_others_that_lose_an_event_are_named() -> None:
    """A registration of somebody else that wants a code which goes."""
    plan = make_plan(OWNER, [wanted(PROVIDER)], [found(PROVIDER), found(CODE), found(REGISTRATION, owner="")])

    assert done(plan) == ["delete event code stock.low of Warehouse"]
    assert "registration Reader, which is not of this set" in plan.notes[0]


def test_events_that_nobody_publishes_are_obstacles() -> None:
    """An unknown provider, an unknown code, and one that this very plan deletes."""
    asked = wanted(REGISTRATION, events=[("Nobody", "x")])
    assert "no provider" in make_plan(OWNER, [asked], []).obstacles[0]
    both = [found(CODE), found(REGISTRATION)]
    assert "no event code" in make_plan(OWNER, [wanted(PROVIDER), wanted(REGISTRATION)], both).obstacles[0]


def test_what_was_dead_before_may_stay() -> None:
    """A registration that wants events of a provider that was deleted; another may not begin to."""
    dead = [("gone", "stock.low")]
    assert not make_plan(OWNER, [wanted(REGISTRATION, events=dead)], [found(REGISTRATION, events=dead)]).obstacles
    assert make_plan(OWNER, [wanted(REGISTRATION, events=dead)], [found(REGISTRATION)]).obstacles


def test_a_provider_may_be_named_by_its_id() -> None:
    """As the same as by its label."""
    there = [found(PROVIDER, owner=""), found(CODE, owner=""), found(REGISTRATION)]

    assert not make_plan(OWNER, [wanted(REGISTRATION, events=[("id of Warehouse", "stock.low")])], there).steps


def test_what_cannot_be_changed_is_an_obstacle() -> None:
    """The instance id of a provider is for ever."""
    plan = make_plan(OWNER, [wanted(PROVIDER, instance_id="b")], [found(PROVIDER, instance_id="a")])

    assert "cannot be changed" in plan.obstacles[0] and not plan.steps


def test_samples_are_compared_through_their_templates() -> None:
    """What the gateway fills in may be anything; what it does not has to be the same."""
    shown = {"specversion": "1.0", "id": "1", "type": "a", "time": "T", "data": {"at": "T", "n": 1, "l": ["x"]}}
    assert is_same("sample", {"at": "{{now}}", "n": 1, "l": ["x"]}, shown)
    assert is_same("sample", {"specversion": "1.0", "type": "a", "data": {"at": "T", "n": 1, "l": ["x"]}}, shown)
    assert not is_same("sample", {"at": "{{now}}", "n": 2, "l": ["x"]}, shown)
    assert not is_same("sample", {"at": "{{now}}", "n": 1}, shown)
    assert not is_same("sample", None, shown) and not is_same("sample", {}, None) and is_same("sample", None, None)


def test_a_template_is_guessed_from_two_samples() -> None:
    """Times, ids and the client become placeholders again; what stays the same stays."""
    fixed = "00000000-0000-4000-8000-000000000000"
    one, other = (
        {"time": time, "data": {"at": f"at {time}", "id": uuid, "fixed": fixed, "for": "<your_client_id>"}}
        for time, uuid in (
            ("2026-01-01T00:00:00.001Z", "11111111-1111-4111-8111-111111111111"),
            ("2026-01-01T00:00:00.002Z", "22222222-2222-4222-8222-222222222222"),
        )
    )

    template = guess_template(one, other)

    assert template == {"at": "at {{now}}", "id": "{{uuid}}", "fixed": fixed, "for": "{{clientId}}"}
    assert is_same("sample", template, one) and is_same("sample", template, other)


@given(st.text(), st.from_regex(r"[A-Za-z0-9_.\-]{1,40}", fullmatch=True))
def test_the_mark_gives_back_what_it_was_put_on(description: str, owner: str) -> None:
    """Any description and any owner."""
    assert unmark(mark(description, owner)) == (description, owner)


_names = st.sampled_from(["a", "b", "c"])
_providers = st.dictionaries(_names, st.tuples(st.text(max_size=3), st.sets(_names, max_size=3)), max_size=3)
_owners = st.sampled_from(["", OWNER, "other"])


def fields_of(providers: dict[str, tuple[str, set[str]]]) -> dict[Key, dict[str, Any]]:
    """Each provider with its codes, and a registration for all of those."""
    fields: dict[Key, dict[str, Any]] = {}
    for label, (text, codes) in providers.items():
        fields[Key("provider", label)] = {"description": text}
        fields |= {Key("event code", code, label): {"label": text, "description": code} for code in codes}
        if codes:
            events = sorted((label, code) for code in codes)
            fields[Key("registration", label)] = {"description": text, "events": events}
    return fields


def after(plan: Plan, asked: dict[Key, dict[str, Any]], there: dict[Key, Found]) -> dict[Key, Found]:
    """The workspace once the steps are done, one after the other; each has to be possible then."""
    world = dict(there)
    for step in plan.steps:
        if step.action == "delete":
            assert world.pop(step.key).owner == OWNER
            assert step.key.kind != "provider" or all(key.provider != step.key.name for key in world)
            continue
        assert (step.key in world) == (step.action != "create")
        assert step.key.kind != "event code" or Key("provider", step.key.provider) in world
        assert step.key not in there or there[step.key].owner != "other"
        world[step.key] = Found(step.key, "id", OWNER, asked[step.key])
    return world


@given(_providers, _providers, st.data(), st.booleans())
def test_one_run_is_enough(
    declared: dict[str, tuple[str, set[str]]],
    existing: dict[str, tuple[str, set[str]]],
    data: st.DataObject,
    adopts: bool,
) -> None:
    """From any workspace: unless something is in the way, a second run has nothing to do, what is declared is there,
    and what others have is as it was."""
    asked = fields_of(declared)
    there = {key: Found(key, "id", data.draw(_owners), fields) for key, fields in fields_of(existing).items()}
    wanted_all = [Wanted(key, fields, "f:1") for key, fields in asked.items()]

    plan = make_plan(OWNER, wanted_all, list(there.values()), adopts=adopts)
    if plan.obstacles:
        return
    world = after(plan, asked, there)

    assert not make_plan(OWNER, wanted_all, list(world.values()), adopts=adopts).steps
    assert all(world[key].fields == fields for key, fields in asked.items())
    assert all(world[key] == each for key, each in there.items() if each.owner != OWNER and key not in asked)
