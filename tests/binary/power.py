"""A machine of `systemd_machine` whose power goes, and comes back."""

import os
import signal
import subprocess
from pathlib import Path

from tests.binary.systemd_machine import PATH, START, WITHIN_S, Machine

AGAIN = (
    'if [ -n "$4" ]; then echo $$ > "$4/cgroup.procs"; fi\nroot="$1/root"\nexec '
    + (START.rpartition("\nexec ")[2])
)
KEEP = "echo kept; exec cat"


class CuttableMachine(Machine):
    """Its files outlive a power cut."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._keeper: subprocess.Popen[bytes] | None = None

    def cut_power(self) -> None:
        """Stop every process of it at once, in the middle of whatever it did."""
        pid = self._nspawn.pid
        if self._keeper is None:
            # Its mounts live as long as a process sees them.
            self._keeper = subprocess.Popen(
                ["nsenter", "--target", str(pid), "--mount", "sh", "-c", KEEP],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
            assert self._keeper.stdout is not None
            self._keeper.stdout.readline()
        os.kill(self.init, signal.SIGKILL)
        self._nspawn.wait(WITHIN_S)

    def boot_again(self) -> None:
        """Let the power come back; return once it is up."""
        assert self._keeper is not None
        self._nspawn = subprocess.Popen(
            [
                *("nsenter", "--target", str(self._keeper.pid), "--mount", "sh", "-c", AGAIN, "sh"),
                *(str(self._mount), "", "", str(self._group or ""), self.name),
            ],
            stdin=subprocess.DEVNULL,
            stdout=self._console,
            stderr=subprocess.STDOUT,
            env={"PATH": PATH, "SYSTEMD_NSPAWN_API_VFS_WRITABLE": "yes"},
        )
        self.boot()

    def close(self) -> None:
        """Switch it off."""
        super().close()
        if self._keeper is not None:
            self._keeper.kill()
            self._keeper.communicate()
