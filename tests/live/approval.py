"""A run of `setting_rollout`, and the person who is asked about it."""

import json
import os
from typing import Any

from tests.live.crash import Trial


class Rollout(Trial):
    """A rollout and the person who is asked about it."""

    def begin_and_wait(self) -> int:
        """Start the run; return its pid once somebody is asked."""
        pid = self.begin()
        self.until(lambda: bool(self.people("human_input_requested")), pid)
        return pid

    def people(self, kind: str) -> list[dict[str, Any]]:
        """Return the records of this type in `human.jsonl`."""
        records = []
        for path in self.runs_root.glob("*/human.jsonl"):
            records += [json.loads(line) for line in path.read_text().splitlines()]
        return [record for record in records if record["type"] == kind]

    def answer(self, decision: str) -> None:
        """Append the answer as a person or tool would."""
        [asked] = self.people("human_input_requested")
        payload = {"request_id": asked["payload"]["request_id"], "decision": decision, "by": "ada"}
        line = json.dumps({"type": "human_input_received", "payload": payload}) + "\n"
        [job_id] = self.jobs()
        file = os.open(self.runs_root / job_id / "human.jsonl", os.O_WRONLY | os.O_APPEND)
        os.write(file, line.encode())
        os.close(file)

    def say(self, *arguments: str) -> None:
        """Answer by the command line, from another process."""
        assert self.forge.wait(self.start(["job", *arguments])) == 0, self.words()

    def go_on(self) -> int:
        """Start what finishes a killed run, or begins it if it was never submitted."""
        return self.start(["job", "recover", "--all", "--quiet"]) if self.jobs() else self.begin()

    def answered(self, pid: int) -> int:
        """Approve as soon as somebody is asked and nobody answered; return the exit code."""
        self.until(lambda: bool(self.people("human_input_requested")) or not self.alive(pid), pid)
        if self.people("human_input_requested") and not self.people("human_input_received"):
            self.answer("approve")
        return self.ended(pid)

    def decision(self) -> tuple[str, str]:
        """Return what was decided, and by what."""
        [applied] = self.people("human_decision_applied")
        return applied["payload"]["decision"], applied["payload"]["source"]
