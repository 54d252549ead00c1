"""What has to be done so that a workspace has what a file declares, and nothing more of the same owner. Pure.

Providers come before their event codes, those before registrations; what is deleted goes last, the other way round.
Two runs without a change between them: the second has nothing to do.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from eventmill.core.declared import Action, Change, Found, Key, Plan, Step, Wanted, is_same

_RANK = {"provider": 0, "event code": 1, "registration": 2}
_FIXED = ("provider_metadata", "instance_id")
"""Of a provider: said when it is created, and never again."""


def make_plan(owner: str, wanted: Sequence[Wanted], found: Sequence[Found], *, adopts: bool = False) -> Plan:
    """`owner` is the name of the file's set. Without `adopts`, what nobody owns is in the way of what has its name."""
    there = {each.key: each for each in found}
    steps: list[Step] = []
    obstacles: list[str] = []
    for each in sorted(wanted, key=lambda one: _RANK[one.key.kind]):
        known = there.get(each.key)
        refusal = None if known is None else _refusal(owner, each, known, adopts=adopts)
        if refusal is not None:
            obstacles.append(f"{each.place}: {refusal}")
        elif (step := _step(owner, each, known)) is not None:
            steps.append(step)
    deletions, notes = _deletions(owner, wanted, found)
    deleted = {each.key for each in deletions}
    obstacles += _dangling(wanted, [each for each in found if each.key not in deleted])
    notes += _orphaned(owner, found, deleted)
    return Plan((*steps, *deletions), tuple(obstacles), tuple(notes))


def _refusal(owner: str, wanted: Wanted, known: Found, *, adopts: bool) -> str | None:
    """Why what is there cannot be made what is wanted; None: it can."""
    if not known.is_here:
        return f"{known.key} exists in another workspace ({known.id})"
    if known.owner not in ("", owner):
        return f"{known.key} is managed by the set {known.owner!r}; take it out of one of the two"
    if not known.owner and not adopts:
        return f"{known.key} exists, and nobody manages it; --adopt takes it over, and changes it where it differs"
    for name in _FIXED:
        if name in wanted.fields and not is_same(name, wanted.fields[name], known.fields.get(name)):
            return f"{known.key} has {name} {known.fields.get(name)}, which cannot be changed"
    return None


def _step(owner: str, wanted: Wanted, known: Found | None) -> Step | None:
    if known is None:
        given = {name: value for name, value in wanted.fields.items() if value not in (None, "")}
        return Step("create", wanted.key, tuple(Change(n, None, v, n in wanted.hidden) for n, v in given.items()))
    changes = tuple(
        Change(name, known.fields.get(name), value, name in wanted.hidden)
        for name, value in wanted.fields.items()
        if not is_same(name, value, known.fields.get(name))
    )
    if not changes and known.owner == owner:
        return None
    action: Action = "change" if known.owner == owner else "adopt"
    return Step(action, wanted.key, changes, known.id)


def _deletions(owner: str, wanted: Iterable[Wanted], found: Sequence[Found]) -> tuple[list[Step], list[str]]:
    """A provider takes its event codes along, so it stays while there are any that are not the owner's."""
    kept = {each.key for each in wanted}
    foreign: dict[str, list[str]] = {}
    for each in found:
        if each.key.kind == "event code" and each.owner != owner:
            foreign.setdefault(each.key.provider, []).append(each.key.name)
    steps: list[Step] = []
    notes: list[str] = []
    for each in sorted(found, key=lambda one: -_RANK[one.key.kind]):
        if each.owner != owner or not each.is_here or each.key in kept:
            continue
        if each.key.kind == "provider" and each.key.name in foreign:
            others = ", ".join(foreign[each.key.name])
            notes.append(f"{each.key} stays: it has event codes that are not of this set: {others}")
        else:
            steps.append(Step("delete", each.key, (), each.id))
    return steps, notes


def _dangling(wanted: Sequence[Wanted], staying: Sequence[Found]) -> Iterator[str]:
    """Events of interest that nobody publishes."""
    known = {each.key for each in (*wanted, *staying)}
    providers = {each.name for each in known if each.kind == "provider"}
    for each in wanted:
        for interest in each.fields.get("events", ()):
            provider, code = interest
            if provider not in providers:
                yield f"{each.place}: {each.key} wants events of {provider!r}, which is no provider here or in the file"
            elif Key("event code", code, provider) not in known:
                yield f"{each.place}: {each.key} wants {code!r}, which is no event code of {provider}"


def _orphaned(owner: str, found: Iterable[Found], deleted: Iterable[Key]) -> Iterator[str]:
    """Registrations of others that lose an event."""
    gone: Mapping[tuple[str, str], Key] = {(k.provider, k.name): k for k in deleted if k.kind == "event code"}
    for each in found:
        if each.key.kind == "registration" and each.owner != owner:
            lost = [gone[tuple(pair)] for pair in each.fields.get("events", ()) if tuple(pair) in gone]
            if lost:
                yield f"{each.key}, which is not of this set, will get no more of {', '.join(k.name for k in lost)}"
