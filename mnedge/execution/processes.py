"""Processes of this owner: started, watched, and killed together with everything they started.

Every process carries the token of its launch in its environment, and leads a session of its own.
This process is the subreaper of all: a descendant that loses its parent becomes our child. So,
after a command has ended, what it left behind is found among our children (by session or token).

Loses: a descendant that cleared its environment *and* detached itself (new session, parent gone).
"""

import os
import resource
import signal
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from math import inf
from select import select
from typing import ClassVar

import trio

from mnedge import faults
from mnedge.execution.procfs import (
    TOKEN,
    children,
    descendants,
    running_tokens,
    stat_of,
    token_of,
)
from mnedge.hot.spawn import Spawn, become_subreaper, best_spawn, find_program
from mnedge.ports import Exit

_KILL_ROUNDS = 200
_KILL_PAUSE_S = 0.005
LOOKS_APART_S = 0.05
"""Looks at all processes of the machine begin so long after each other."""
_UNKILLABLE_S = 10.0
"""After SIGKILL only the kernel can hold a process: so long is waited, then a later look has it."""
OOM_SCORE = 500
"""Of a worker, of 1000: as if it used half of the machine's memory more than it does."""
_ZOMBIE_S = 5.0
"""A zombie that nobody else has reaped for so long is an orphan that came to us."""


class ProcessTree:
    """One started command and its descendants; see `mnedge.ports.Process`."""

    def __init__(self, owner: "Processes", pid: int, token: str, pipes: "_Pipes") -> None:
        self._owner = owner
        self.pid = pid
        self.token = token
        self.exit_fd = pipes.keep(os.pidfd_open(pid))
        self.stdin, self.stdout, self.stderr = pipes.ours()
        self._own_peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        self._exit: Exit | None = None
        self._ending = trio.Lock()
        self.kin: set[int] = set()
        """What descended from the command when it was made to end."""

    def signal(self, number: int) -> None:
        """Send a signal to its process group; nothing happens if it is gone."""
        if self._exit is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)

    async def exited(self) -> None:
        """Return when the command itself has ended; its process id stays its own until `end`."""
        if self._exit is None:
            await trio.lowlevel.wait_readable(self.exit_fd)

    async def end(self) -> Exit:
        """Kill what is left of the tree and return how the command ended."""
        with trio.CancelScope(shield=True):
            async with self._ending:
                ended = self._exit = self._exit or await self._end()
        return ended

    async def _end(self) -> Exit:
        gone = _readable(self.exit_fd)
        self.kin = set() if gone else set(descendants(self.pid))
        # Not reaped yet, so the group cannot be anybody else's.
        self.signal(signal.SIGKILL)
        for pid in self.kin:
            _kill(pid)
        if not gone:
            with trio.move_on_after(_UNKILLABLE_S):
                await self.exited()
        ended = self._reap()
        self._owner.forget(self)
        await self._owner.kill_orphans(self)
        for fd in (self.exit_fd, self.stdin, self.stdout, self.stderr):
            if fd is not None:
                trio.lowlevel.notify_closing(fd)
                os.close(fd)
        return ended

    def _reap(self) -> Exit:
        try:
            pid, status, usage = os.wait4(self.pid, os.WNOHANG)
        except ChildProcessError:
            pid = 0
        if pid == 0:
            return Exit(128 + signal.SIGKILL, signal.SIGKILL, 0.0, 0.0, 0)
        killed_by = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
        code = os.WEXITSTATUS(status) if killed_by is None else 128 + killed_by
        # The kernel counts our own memory, which the child borrowed until it became the command.
        peak_kib = usage.ru_maxrss if usage.ru_maxrss > self._own_peak_kib else 0
        return Exit(code, killed_by, usage.ru_utime, usage.ru_stime, peak_kib * 1024)


class _Look:
    """What runs under tokens, looked up once for all who ask at the same time."""

    def __init__(self) -> None:
        self.done = trio.Event()
        self.found: Sequence[tuple[int, str]] = ()


class Processes:
    """Starts processes of this process; see `mnedge.ports.Spawner`."""

    _trees: ClassVar[dict[int, ProcessTree]] = {}
    """All that run: children are the whole process's, so they are known to every spawner in it."""

    def __init__(self, spawn: Spawn | None = None) -> None:
        self._spawn = spawn or best_spawn()
        self._zombies: dict[int, float] = {}
        self._null = -1
        self._next_look: _Look | None = None
        self._looked_at = -inf

    def start(
        self,
        arguments: Sequence[str],
        *,
        token: str,
        environment: Mapping[str, str],
        directory: str,
        with_stdin: bool = False,
    ) -> ProcessTree:
        """Start a command as the leader of a new session.

        Raises: OSError if it cannot be started.
        """
        self._open()
        environment = {**environment, TOKEN: token}
        program = find_program(arguments[0], environment, directory)
        pipes = _Pipes(self._null, with_stdin=with_stdin)
        try:
            faults.hit("spawn.before")
            pid = self._spawn(program, arguments, environment, directory, pipes.theirs())
        except BaseException:
            pipes.close()
            raise
        pipes.close_theirs()
        try:
            tree = ProcessTree(self, pid, token, pipes)
            _goes_before_us(pid)
            faults.hit("spawn.after")
        except BaseException:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            pipes.close()
            raise
        self._trees[pid] = tree
        return tree

    async def sweep(self, tokens: Collection[str]) -> int:
        """Kill what runs under these tokens and is not ours; return how many processes that was."""
        killed: set[int] = set()
        for _ in range(_KILL_ROUNDS):
            found = [item for item in await self._looked() if self._is_stale(item[1], tokens)]
            if not found:
                break
            for pid, token in found:
                _kill_if_it_still_is(pid, token)
                killed.add(pid)
            await trio.sleep(_KILL_PAUSE_S)
        return len(killed)

    async def _looked(self) -> Sequence[tuple[int, str]]:
        """Return what runs under tokens, as a look that begins after this call sees it.

        Whoever asks before it begins shares it, and the next waits a moment for others: a node that
        starts sweeps for all its jobs within a second.
        """
        look = self._next_look
        if look is not None:
            await look.done.wait()
            return look.found
        look = self._next_look = _Look()
        with trio.CancelScope(shield=True):
            wait_s = self._looked_at + LOOKS_APART_S - trio.current_time()
            await trio.sleep(min(max(wait_s, 0.0), LOOKS_APART_S))
        self._next_look = None
        self._looked_at = trio.current_time()
        try:
            look.found = tuple(running_tokens())
        finally:
            look.done.set()
        return look.found

    def forget(self, tree: ProcessTree) -> None:
        """Take the tree, which was reaped, off the list."""
        self._trees.pop(tree.pid, None)

    async def kill_orphans(self, tree: ProcessTree) -> None:
        """Kill what outlived the tree's command, and what outlived any that ended before it."""
        for _ in range(_KILL_ROUNDS):
            orphans = [pid for pid in self._orphans() if self._has_ended(pid, tree)]
            if not orphans:
                return
            for pid in orphans:
                _kill(pid)
            await trio.sleep(_KILL_PAUSE_S)
            for pid in orphans:
                _reap_quietly(pid)

    def _open(self) -> None:
        if self._null < 0:
            become_subreaper()
            self._null = os.open(os.devnull, os.O_RDWR)

    def _orphans(self) -> Iterator[int]:
        """Yield our children that we did not start ourselves."""
        for pid in children():
            if pid not in self._trees:
                yield pid

    def _has_ended(self, pid: int, ended: ProcessTree) -> bool:
        """Tell whether the orphan belongs to a launch that is over."""
        stat = stat_of(pid)
        if stat is None or stat.session == os.getsid(0) or stat.session in self._trees:
            return False
        if stat.session == ended.pid or pid in ended.kin:
            return True
        token = token_of(pid)
        if token is not None:
            return all(tree.token != token for tree in self._trees.values())
        if stat.state == "Z":
            self._reap_old_zombie(pid)
        return False

    def _reap_old_zombie(self, pid: int) -> None:
        """Other code in this process may have started it, and reaps it in a moment."""
        now = trio.current_time()
        if now - self._zombies.setdefault(pid, now) > _ZOMBIE_S:
            _reap_quietly(pid)
            del self._zombies[pid]

    def _is_stale(self, token: str, tokens: Collection[str]) -> bool:
        if token not in tokens and not any(
            token.startswith(start) for start in tokens if start.endswith("/")
        ):
            return False
        return all(tree.token != token for tree in self._trees.values())


class _Pipes:
    """Both ends of a child's streams until each side has its own."""

    def __init__(self, null: int, *, with_stdin: bool) -> None:
        self._open: list[int] = []
        self._null = null
        try:
            self._in = self._pipe() if with_stdin else None
            self._out = self._pipe()
            self._err = self._pipe()
        except OSError:
            self.close()
            raise

    def theirs(self) -> tuple[int, int, int]:
        """Return what the child reads and writes."""
        return (self._in[0] if self._in else self._null, self._out[1], self._err[1])

    def ours(self) -> tuple[int | None, int, int]:
        """Return our ends, non-blocking: of its stdin (to write), stdout and stderr (to read)."""
        ends = (self._in[1] if self._in else None, self._out[0], self._err[0])
        for fd in ends:
            if fd is not None:
                os.set_blocking(fd, False)
        return ends

    def keep(self, fd: int) -> int:
        """Close this one too, should the start come to nothing."""
        self._open.append(fd)
        return fd

    def close_theirs(self) -> None:
        """The child has them now; only its own count for the end of the stream."""
        for fd in self.theirs():
            if fd != self._null:
                os.close(fd)
                self._open.remove(fd)

    def close(self) -> None:
        """Close what is open: nothing was started."""
        for fd in self._open:
            os.close(fd)
        self._open.clear()

    def _pipe(self) -> tuple[int, int]:
        ends = os.pipe()
        self._open += ends
        return ends


def _goes_before_us(pid: int) -> None:
    """Have the kernel take this process, and not the node, when memory runs out.

    It inherits our own place in that order, which a service manager may have made a safe one; one
    that is worse already stays.
    """
    with suppress(OSError, ValueError):
        with open("/proc/self/oom_score_adj", "rb") as ours:
            if int(ours.read()) >= OOM_SCORE:
                return
        with open(f"/proc/{pid}/oom_score_adj", "wb", buffering=0) as theirs:
            theirs.write(b"%d" % OOM_SCORE)


def _readable(fd: int) -> bool:
    return bool(select([fd], [], [], 0)[0])


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGKILL)


def _kill_if_it_still_is(pid: int, token: str) -> None:
    """The number may have a new owner since we looked; a pidfd never has."""
    with suppress(ProcessLookupError, PermissionError):
        fd = os.pidfd_open(pid)
        try:
            if token_of(pid) == token:
                signal.pidfd_send_signal(fd, signal.SIGKILL)
        finally:
            os.close(fd)


def _reap_quietly(pid: int) -> None:
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
