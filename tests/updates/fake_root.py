"""A machine made of files: its node is whatever release was started, well or not as its text says.

All it knows is on disk, so an update that is killed goes on in another process.
"""

import json
from hashlib import sha256
from pathlib import Path

from mnedge.config.layout import Layout, release_id
from mnedge.durable import sha256_of, switch
from mnedge.updates.envelope import SUFFIX, Release, new_key, read_keys, sealed
from mnedge.updates.machine import ProgramBadError
from mnedge.updates.offer import Build
from mnedge.updates.prepare import Node, begun, offered, party_of, placed
from mnedge.updates.proof import Seen
from mnedge.updates.releases import led_to, program_of

PEM, LINE = new_key()
KEYS = read_keys([LINE])
STARTS_IN = 2
"""Looks until a program that was started answers."""


class FakeMachine:
    """`state.json` of the root says which release runs, and since how many looks."""

    systemd = False

    def hand_over(self):
        return False

    def carries(self):
        return False

    def __init__(self, root: Path) -> None:
        self.layout = Layout(root)
        self.at = 0.0
        self.free = 1 << 40

    @property
    def state(self) -> dict:
        return json.loads((self.layout.root / "state.json").read_text())

    def change(self, **changed) -> None:
        path = self.layout.root / "state.json"
        state = (self.state if path.exists() else {}) | changed
        path.write_text(json.dumps(state))

    def boot_id(self):
        return self.state["boot"]

    def reboot(self):
        """Go down and come up: the service manager starts what `current` leads to."""
        state = self.state
        is_enabled = state["enabled"]
        self.change(boot=state["boot"] + "x", running="", looks=0)
        if is_enabled:
            self.start()

    def unpack(self, program):
        folder = self.layout.runtime / sha256_of(program)[:16]
        folder.mkdir(parents=True, exist_ok=True)
        return self.text(program)["version"]

    def described(self, program):
        told = self.text(program)
        return Build(
            version=told["version"],
            flavour="lean",
            platform="linux-x86_64",
            schema=told.get("schema", 1),
            engine_revision=told.get("revision", 1),
        )

    def try_out(self, program):
        if self.text(program).get("selftest") == "fails":
            raise ProgramBadError("the self-test failed")

    def runs(self, socket):
        return bool(self.state["running"])

    def stop(self, socket):
        self.change(running="", looks=0)

    def start(self):
        if not self.state["running"]:
            self.change(running=led_to(self.layout.current), looks=0)

    def wait(self, seconds=1.0):
        self.at += seconds
        self.change(looks=self.state["looks"] + 1)

    def now(self):
        return 1_000_000.0 + self.at

    def seen(self, socket):
        state = self.state
        if not state["running"]:
            return Seen(at=self.at)
        told = self.text(program_of(self.layout, state["running"]))
        looks, does = state["looks"], told.get("does", "well")
        if does == "crashes":
            return Seen(at=self.at, restarts=looks // 2)
        if looks < STARTS_IN or does == "silent":
            return Seen(at=self.at)
        if does == "fades" and looks > 5:
            return Seen(at=self.at)
        return Seen(
            at=self.at,
            version="9.9.9" if does == "lies" else told["version"],
            status="degraded" if does == "ails" else "ok",
        )

    def text(self, program):
        return json.loads(program.read_text())


class FakeRoot:
    """An installed node in a folder."""

    def __init__(self, folder: Path, **told) -> None:
        self.folder = folder
        self.machine = FakeMachine(folder)
        self.layout = self.machine.layout
        self.layout.data_dir.mkdir(parents=True)
        self.layout.runtime.mkdir(parents=True)
        self.old = self.release(version="1.0.0", **told)
        self.install(self.old)
        self.machine.change(boot="a", enabled=True, running=self.old, looks=9)

    def release(self, **told) -> str:
        """Place a release without any update; return its name."""
        text = json.dumps(told)
        name = release_id(told["version"], sha256(text.encode()).hexdigest())
        program = program_of(self.layout, name)
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text(text)
        return name

    def install(self, name: str) -> None:
        switch(self.layout.current, f"releases/{name}")
        self.machine.unpack(program_of(self.layout, name))

    def file(self, pem: bytes | None = PEM, **told) -> str:
        """Write a file as it is shipped; return where it is."""
        text = json.dumps(told)
        path = self.folder / f"mnedge-{told['version']}"
        path.write_text(text)
        if pem is not None:
            release = Release(
                name="mnedge",
                version=told["version"],
                flavour="lean",
                platform="linux-x86_64",
                file=path.name,
                size=len(text),
                sha256=sha256(text.encode()).hexdigest(),
                schema=told.get("schema", 1),
                engine_revision=told.get("revision", 1),
            )
            path.with_name(path.name + SUFFIX).write_bytes(sealed(release, pem))
        return str(path)

    @property
    def node(self) -> Node:
        return Node(data_dir=str(self.layout.data_dir), socket="s", health_timeout_s=20, settle_s=4)

    def begin(self, where: str, **options):
        """Do all that is done before the switch."""
        layout, machine = self.layout, self.machine
        old = program_of(layout, led_to(layout.current))
        have = machine.described(old)
        options = {"allow_downgrade": False} | options
        offer = offered(where, KEYS, have, sha256_of(old), machine=machine, **options)
        new = placed(layout, machine, offer, lambda _: None)
        return begun(layout, machine, self.node, party_of(old.parent.name, have, old), new)

    @property
    def runs(self) -> str:
        """The version that runs."""
        running = self.machine.state["running"]
        return running and self.machine.text(program_of(self.layout, running))["version"]

    @property
    def releases(self) -> list[str]:
        return sorted(path.name for path in self.layout.releases.iterdir())
