"""The chaos runs in full: `python -m tests.chaos.soak` shows how they go and, at the end, what each of them cost.

Every run has a cluster of its own: three nodes under load over a primary and a synchronous standby. Ends with status 1
when the history checker found a fault in any of them.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

from tests.chaos import strikes
from tests.chaos.cables import has_namespaces
from tests.chaos.trial import LEASE_S, NODES, Trial, trial, trial_with_cables
from tests.e2e.harness.history import Verdict

_SETTLES_WITHIN_S = 400.0
"""Deliveries that were refused wait for a minute, and if they are refused again for two more."""
_PROGRESS_S = 10.0


class Run(NamedTuple):
    name: str
    strike: Callable[[Trial, float], Awaitable[object]]
    """Takes the seconds that it may last."""
    length_s: float
    refusing: float = 0.0
    """Share of the deliveries that the webhooks refuse meanwhile."""
    cables: bool = False
    """The database is in a network namespace."""


async def kill_nodes(one: Trial, length_s: float) -> None:
    await one.nodes.kill_for(length_s)


async def pause_nodes(one: Trial, length_s: float) -> None:
    """One after the other, each until long after its leases have ended."""
    for number in range(NODES):
        await strikes.pause(one.cluster, number, LEASE_S + 5)
        await asyncio.sleep(max(0.0, length_s / NODES - LEASE_S - 5))


async def fail_over(one: Trial, length_s: float) -> None:
    await asyncio.sleep(length_s / 3)
    await one.fail_over(after_s=0.5)
    await asyncio.sleep(length_s * 2 / 3)


async def terminate_connections(one: Trial, length_s: float) -> None:
    await strikes.terminate_connections(one.primary, length_s, one.chance)


async def drop_commits(one: Trial, length_s: float) -> None:
    await strikes.drop_commits([way for ways in one.relays for way in ways], length_s, 0.02)


async def cut_nodes(one: Trial, length_s: float) -> None:
    """One after the other for longer than a lease, and all together for a moment."""
    for ways in one.ways:
        await strikes.cut_off(ways, LEASE_S + 5)
        await asyncio.sleep(max(0.0, length_s / NODES - LEASE_S - 5))
    await strikes.cut_off([way for ways in one.ways for way in ways], 5.0)


async def do_everything(one: Trial, length_s: float) -> None:
    """Nodes are killed while connections drop, and in the middle of it the primary goes."""
    ways = [way for ways in one.relays for way in ways]
    killing = asyncio.create_task(one.nodes.kill_for(length_s))
    await strikes.drop_commits(ways, length_s / 2, 0.01)
    await one.fail_over(after_s=1.0)
    await killing


def runs(minutes: float) -> list[Run]:
    return [
        Run("kill", kill_nodes, minutes * 60, refusing=0.01),
        Run("pause", pause_nodes, minutes * 16),
        Run("failover", fail_over, minutes * 6),
        Run("terminate", terminate_connections, minutes * 12),
        Run("drop", drop_commits, minutes * 12),
        Run("stall", cut_nodes, minutes * 16),
        Run("cut", cut_nodes, minutes * 16, cables=True),
        Run("everything", do_everything, minutes * 12),
    ]


async def carry_out(run: Run, seed: int) -> tuple[Verdict, Trial]:
    with tempfile.TemporaryDirectory(prefix="eventmill-soak-") as directory:
        begin = trial_with_cables if run.cables else trial
        async with begin(Path(directory), seed) as one:
            telling = asyncio.create_task(_tell(run.name, one))
            one.load.refusing = run.refusing
            await run.strike(one, run.length_s)
            one.load.refusing = 0.0
            verdict = await one.end(_SETTLES_WITHIN_S)
            telling.cancel()
            if not is_good(verdict, one):
                _say(one.cluster.log_tails())
            return verdict, one


def is_good(verdict: Verdict, one: Trial) -> bool:
    """Nothing lost, no cursor moved by the wrong one, nothing answered but what publishers are told to expect."""
    return not verdict.faults and not one.wrong_moves and set(one.load.answers) <= {200, 503, 0}


async def _tell(name: str, one: Trial) -> None:
    began_s = time.monotonic()
    while True:
        await asyncio.sleep(_PROGRESS_S)
        minutes, seconds = divmod(int(time.monotonic() - began_s), 60)
        load = one.load
        _say(f"{name:<10} {minutes:02}:{seconds:02}  {load.acknowledged:,} acknowledged, {load.missing:,} on their way")


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    known = {run.name: run for run in runs(5.0)}
    parser.add_argument("names", nargs="*", metavar="RUN", help=f"which runs: {', '.join(known)} (default: all)")
    parser.add_argument("--minutes", type=float, default=5.0, help="of killing nodes; the other runs take a part of it")
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    given = parser.parse_args()
    if unknown := set(given.names) - set(known):
        parser.error(f"no run named {', '.join(sorted(unknown))}")
    lines, good = [], True
    for run in runs(given.minutes):
        if given.names and run.name not in given.names:
            continue
        if run.cables and not has_namespaces():
            lines.append(f"{run.name:<10} left out: only root makes network namespaces")
            continue
        _say(f"{run.name:<10} begins, seed {given.seed}")
        verdict, one = asyncio.run(carry_out(run, given.seed))
        good = good and is_good(verdict, one)
        lines.append(f"{run.name:<10} {'good' if is_good(verdict, one) else 'BAD '}  {verdict}")
        moves = "; ".join(one.wrong_moves) or "none"
        lines.append(f"{'':<16} answers {one.answers}; {one.nodes.kills} kills; wrong moves of cursors: {moves}")
        _say(lines[-2])
    _say("\n".join(("", *lines)))
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
