"""What has to be done so that a workspace has what a file declares, and nothing more of the same owner. Pure.

Providers come before their event codes, those before registrations; what is deleted goes last, the other way round.
Two runs without a change between them: the second has nothing to do.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

import msgspec

from eventmill.core.declared import Action, Change, Found, Key, Plan, Step, Wanted, is_same

_RANK = {"provider": 0, "event code": 1, "registration": 2}
_FIXED = ("provider_metadata", "instance_id")
"""Of a provider: said when it is created, and never again."""


def make_plan(owner: str, wanted: Sequence[Wanted], found: Sequence[Found], *, adopts: bool = False) -> Plan:
    """`owner` is the name of the file's set. Without `adopts`, what nobody owns is in the way of what has its name."""
    there = {each.key: each for each in found}
    wanted = _by_label(wanted, found)
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
    obstacles += _dangling(wanted, found, deleted)
    notes += _orphaned(owner, found, deleted)
    return Plan((*steps, *deletions), tuple(obstacles), tuple(notes))


def _by_label(wanted: Sequence[Wanted], found: Iterable[Found]) -> list[Wanted]:
    """With providers of events named as they are in `found`, where a file says their ids."""
    labels = {each.id: each.key.name for each in found if each.key.kind == "provider"}

    def named(each: Wanted) -> Wanted:
        if "events" not in each.fields:
            return each
        events = sorted({(labels.get(provider, provider), code) for provider, code in each.fields["events"]})
        return msgspec.structs.replace(each, fields={**each.fields, "events": events})

    return [named(each) for each in wanted]


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
    for each in sorted(found, key=_rank_of_found, reverse=True):
        if each.owner != owner or not each.is_here or each.key in kept:
            continue
        if each.key.kind == "provider" and each.key.name in foreign:
            others = ", ".join(foreign[each.key.name])
            notes.append(f"{each.key} stays: it has event codes that are not of this set: {others}")
        else:
            steps.append(Step("delete", each.key, (), each.id))
    return steps, notes


def _rank_of_found(found: Found) -> int:
    return _RANK[found.key.kind]


def _dangling(wanted: Sequence[Wanted], found: Sequence[Found], deleted: Collection[Key]) -> Iterator[str]:
    """Events of interest that nobody publishes; one that was dead before may stay as it is."""
    there = {each.key for each in found}
    known = {each.key for each in wanted} | (there - set(deleted))
    providers = {each.name for each in known if each.kind == "provider"}
    held = {(each.key, *pair) for each in found for pair in each.fields.get("events", ())}
    for each in wanted:
        for provider, code in each.fields.get("events", ()):
            key = Key("event code", code, provider)
            if key in known or (key not in there and (each.key, provider, code) in held):
                continue
            if provider not in providers:
                yield f"{each.place}: {each.key} wants events of {provider!r}, which is no provider here or in the file"
            else:
                yield f"{each.place}: {each.key} wants {code!r}, which is no event code of {provider}"


def _orphaned(owner: str, found: Iterable[Found], deleted: Iterable[Key]) -> Iterator[str]:
    """Registrations of others that lose an event."""
    gone: Mapping[tuple[str, str], Key] = {(k.provider, k.name): k for k in deleted if k.kind == "event code"}
    for each in found:
        if each.key.kind == "registration" and each.owner != owner:
            lost = [gone[tuple(pair)] for pair in each.fields.get("events", ()) if tuple(pair) in gone]
            if lost:
                yield f"{each.key}, which is not of this set, will get no more of {', '.join(k.name for k in lost)}"
