"""An executor with everything around it, on the virtual clock or with real processes."""

import os
import random
from hashlib import sha256
from pathlib import Path

import msgspec
import trio

from mnedge.config.read import read_config
from mnedge.execution.attempt import Executor
from mnedge.execution.inventory import Inventory
from mnedge.execution.order import AttemptOrder, job_context
from mnedge.execution.processes import Processes
from mnedge.model.commands import CallModule, RunAttempt
from mnedge.model.manifest import Agent, Edge, JobSpec
from mnedge.model.message import normalise
from mnedge.model.states import AgentKind, OutcomeStatus
from mnedge.ports import Finished
from mnedge_runners.host_local import HostLocal

EPOCH = 1_700_000_000.0
JOB = f"job-{os.getpid()}"
"""Its processes are told apart from those of tests that run beside these."""


class ScriptedRunner:
    """A runner without processes: each run takes what the script says, and answers with it."""

    def __init__(self, *answers, name="host_local", isolation="process", why=None):
        self.answers = list(answers)
        self.launches = []
        self.seen = []
        self.cancelled = 0
        self.swept = []
        self.name = name
        self.modules = ()
        self.isolation = isolation
        self._why = why

    def available(self):
        return self._why

    async def run(self, launch, on_line):
        self.launches.append(launch)
        self.seen.append(
            {p.name: p.read_bytes() for p in Path(launch.workspace).iterdir() if p.is_file()}
        )
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        if callable(answer):
            answer = answer(launch, on_line)
            if hasattr(answer, "__await__"):
                try:
                    answer = await answer
                except trio.Cancelled:
                    self.cancelled += 1
                    raise
        await trio.lowlevel.checkpoint()
        return answer

    async def sweep(self, tokens):
        self.swept.append(dict(tokens))
        return len(tokens)


class Blobs:
    """Content by hash, in memory."""

    def __init__(self):
        self.kept = {}
        self.failures = []

    async def put(self, content):
        await trio.lowlevel.checkpoint()
        if self.failures:
            raise self.failures.pop(0)
        digest = f"sha256:{sha256(content).hexdigest()}"
        self.kept[digest] = content
        return digest

    async def get(self, digest):
        await trio.lowlevel.checkpoint()
        return self.kept[digest]


def ended(stdout=b"", *, code=0, stderr=b"", error=None, **extra):
    """What a runner brings back."""
    good = code == 0 and error is None
    return Finished(
        status=OutcomeStatus.SUCCEEDED if good else OutcomeStatus.FAILED,
        exit_code=None if error is not None else code,
        stdout=stdout,
        stderr=stderr,
        error=error,
        extra=extra,
    )


class Bench:
    """One node with one job on it, for tests to give orders to."""

    def __init__(self, folder, runners, environ=None, **settings):
        self.folder = folder
        self.payloads = folder / "bundle" / "payloads"
        self.payloads.mkdir(parents=True)
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "MN_HOME": str(folder / "home"),
            **(environ or {}),
        }
        config = read_config(environ)
        self.config = msgspec.structs.replace(config, **settings)
        self.blobs = Blobs()
        self.processes = Processes()
        if runners is None:
            runners = [HostLocal(self.processes)]
        self.runners = {}
        for runner in runners:
            for name in (runner.name, *runner.modules):
                self.runners[name] = runner
        if "host_local" in self.runners:
            self.runners.setdefault("MirrorNeuron.Runner.HostLocal", self.runners["host_local"])
        self.executor = Executor(
            self.config,
            self.runners,
            self.blobs,
            random=random.Random(7),
            now=lambda: EPOCH + trio.current_time() % 1e6,
            spawner=self.processes,
            inventory=Inventory(environ=environ),
        )
        self.notes = []
        self.job = None

    def write(self, path, text="", mode=0o644):
        """Put a file into the bundle's payloads."""
        file = self.payloads / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)
        return file

    def open(self, agent_config=None, *, kind=AgentKind.EXECUTOR, job_id=JOB, paths=(), **spec):
        """Have a job with one agent `w`."""
        agent = Agent(
            agent_id="w",
            kind=kind,
            config={"runner_module": "MirrorNeuron.Runner.HostLocal", **(agent_config or {})},
        )
        whole = JobSpec(
            blueprint_id="my_blueprint",
            graph_id="g",
            job_name="g",
            agents=[agent],
            edges=[Edge(edge_id="e", sender="w", target="v", message_type="t")],
            entrypoints=["w"],
            seeds={},
            **spec,
        )
        self.job = job_context(
            whole,
            job_id,
            run_dir=str(self.folder / "runs" / job_id),
            runs_root=str(self.folder / "runs"),
            clock=lambda: 1000.0 + trio.current_time() % 1e6,
            bundle_root=str(self.folder / "bundle"),
            body_paths=paths,
        )
        return self

    def order(self, body=None, *, attempt="w:m1", launch=1, state=None, **more):
        """Return the order for one launch of an attempt."""
        envelope = {"from": "tester", "to": "w", "type": "go", **more.pop("envelope", {})}
        message = normalise({"envelope": envelope, "body": body}, at=1000.0, seed=attempt)
        return AttemptOrder(
            job=self.job,
            command=RunAttempt(
                attempt_id=attempt,
                launch=launch,
                agent_id="w",
                message=message,
                invocation=1,
                agent_state={} if state is None else state,
                idempotency_key=f"key-of-{attempt}",
                **more,
            ),
        )

    async def run(self, config=None, body=None, **more):
        """Open a job with this config and carry one attempt."""
        spec = {key: more.pop(key) for key in ("paths",) if key in more}
        job = more.pop("job", {})
        self.open(config, **spec, **job)
        return await self.executor.run(self.order(body, **more), self.notes.append)

    def call(self, number, body, *, version=0, state=None, message=True, launch=1):
        """Return a call of a module agent."""
        made = normalise({"envelope": {"type": "go"}, "body": body}, at=1.0, seed=str(number))
        return CallModule(
            call_id=f"w:{number}",
            launch=launch,
            agent_id="w",
            message=made if message else None,
            invocation=number,
            state_version=version,
            state=state,
        )

    @property
    def told(self):
        """Return (type, payload) of every note."""
        return [(note.type, note.payload) for note in self.notes]

    @property
    def types(self):
        """Return the types of all notes."""
        return [note.type for note in self.notes]
