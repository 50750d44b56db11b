"""The job of the self-test: what it does, and what must have happened when it was cut once. Pure.

Every agent writes the launch it was called with into one file: that is its effect. One of them
waits in its first launch, so that whoever looks can kill its owner just then.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

from mnedge.model.facts import AnyFact, AttemptEnded, Recovered

NAME = "selftest"
HELD = "held"
"""The agent whose first launch waits to be killed."""
WORKERS = ("first", "python", HELD, "last")
"""The agents that do something, in order."""
EFFECTS = "effects"
_WAITS_S = 120
_NOTE = 'echo "$MNEDGE_LAUNCH" >> "$1"'
_SCRIPTS = {
    "first": _NOTE,
    HELD: f'{_NOTE}; case "$MNEDGE_LAUNCH" in */1) exec sleep {_WAITS_S};; esac',
    "last": _NOTE,
}
PAYLOAD = """\
import json
import os
import sqlite3
import sys

with open(sys.argv[1], "a") as effects:
    effects.write(os.environ["MNEDGE_LAUNCH"] + "\\n")
version = "%d.%d.%d" % sys.version_info[:3]
print(json.dumps({"python": version, "executable": sys.executable}))
"""
"""The Python payload, which takes more of the standard library than its own interpreter needs."""


def files(effects: str) -> dict[str, Any]:
    """Return the bundle: name → JSON document or text. `effects`: the file they write to."""
    return {
        "manifest.json": _manifest(effects),
        "config/default.json": {},
        "payloads/python/note.py": PAYLOAD,
    }


def _manifest(effects: str) -> dict[str, Any]:
    commands = {name: ["sh", "-c", script, "sh", effects] for name, script in _SCRIPTS.items()}
    commands["python"] = ["python3", "note.py", effects]
    nodes: list[dict[str, Any]] = [
        {
            "node_id": name,
            "agent_type": "executor",
            "config": {
                "runner_module": "MirrorNeuron.Runner.HostLocal",
                "command": commands[name],
                "output_message_type": "done",
                "timeout_seconds": _WAITS_S,
            },
        }
        for name in WORKERS
    ]
    nodes[1]["config"] |= {
        "upload_path": "python",
        "upload_as": "python",
        "workdir": "/sandbox/job/python",
    }
    sink = {"node_id": "sink", "agent_type": "aggregator", "config": {"complete_on_message": True}}
    chain = [*WORKERS, "sink"]
    edges = [
        {
            "edge_id": f"{sender}_{target}",
            "from_node": sender,
            "to_node": target,
            "message_type": "done",
        }
        for sender, target in pairwise(chain)
    ]
    return {
        "manifest_version": "1.0",
        "graph_id": NAME,
        "job_name": NAME,
        "nodes": [*nodes, sink],
        "edges": edges,
        "entrypoints": [WORKERS[0]],
        "policies": {"recovery_mode": "local_restart"},
    }


def is_held(effects: str) -> bool:
    """Tell from the effects so far whether the launch that waits has begun."""
    launches = [line.split("/") for line in effects.splitlines()]
    return any(number == "1" and _agent(attempt) == HELD for _, attempt, number in launches)


def wrong_effects(job_id: str, facts: Iterable[AnyFact], effects: Sequence[str]) -> list[str]:
    """Return what did not happen as the journal says; nothing if all did.

    Effects are exactly once, but for the launch that was cut: its effect was there already.
    """
    facts = list(facts)
    wrong = []
    if (times := sum(isinstance(fact, Recovered) for fact in facts)) != 1:
        wrong.append(f"the journal says that the job was taken up again {times} times, not once")
    ended = [fact for fact in facts if isinstance(fact, AttemptEnded)]
    journaled = {f"{job_id}/{fact.attempt_id}/{fact.launch}" for fact in ended}
    cut = {
        f"{job_id}/{fact.attempt_id}/1"
        for fact in ended
        if fact.launch == 2 and _agent(fact.attempt_id) == HELD
    }
    if len(ended) != len(WORKERS) or len(cut) != 1:
        listed = ", ".join(sorted(journaled)) or "none"
        wrong.append(f"journaled are not {len(WORKERS)} attempts with one launched twice: {listed}")
    expected, seen = Counter(journaled | cut), Counter(effects)
    wrong += [f"{launch} left no effect" for launch in sorted(expected - seen)]
    wrong += [f"{launch} had an effect too often" for launch in sorted(seen - expected)]
    return wrong


def gaps(numbers: Sequence[int]) -> list[str]:
    """Return what is wrong with the numbers of events; nothing if none is missing or twice."""
    if not numbers:
        return ["there are no events"]
    if list(numbers) == list(range(1, len(numbers) + 1)):
        return []
    return [f"events are numbered {', '.join(map(str, numbers))}"]


def _agent(attempt_id: str) -> str:
    return attempt_id.partition(":")[0]
