"""Replay recorded jobs; as a program, print what every one came to."""

import sys
from base64 import urlsafe_b64decode
from pathlib import Path
from typing import Any

import msgspec

from mnedge.engine.apply import apply
from mnedge.engine.compile import compile_job
from mnedge.engine.state import new_state, restore
from mnedge.model.codec import decode_fact, decode_spec
from tests.engine.digest import digest

HERE = Path(__file__).resolve().parent
JOURNALS = sorted(HERE.glob("*.journal"))


def read(path: Path) -> tuple[dict[str, Any], list[bytes]]:
    """Return the head of a journal and the records of its facts."""
    head, *lines = path.read_text().splitlines()
    return msgspec.json.decode(head), [urlsafe_b64decode(line) for line in lines]


def replay(head: dict[str, Any], records: list[bytes]) -> dict[str, str]:
    """Return the digests of a replay from the first fact."""
    job = compile_job(decode_spec(urlsafe_b64decode(head["spec"])), revision=head["revision"])
    state = new_state(job, head["job_id"])
    commands, events = [], []
    for number, record in enumerate(records, 1):
        done, told = apply(job, state, decode_fact(record), number)
        commands += done
        events += told
    return {"commands": digest(commands), "events": digest(events), "state": digest(state)}


def resume(head: dict[str, Any], records: list[bytes]) -> str:
    """Return the digest of the last state, replayed from the snapshot."""
    job = compile_job(decode_spec(urlsafe_b64decode(head["spec"])), revision=head["revision"])
    state = restore(job, urlsafe_b64decode(head["snapshot"]))
    for number, record in enumerate(records, 1):
        apply(job, state, decode_fact(record), number)  # those before the snapshot are recognised
    return digest(state)


def main(paths: list[str]) -> int:
    for path in map(Path, paths) if paths else JOURNALS:
        print(msgspec.json.encode({path.name: replay(*read(path))}).decode())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
