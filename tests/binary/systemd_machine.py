"""A machine under a real systemd: this one's files, what it changes thrown away, no network.

Overlay mounts and the device control group live and end with it. Needs root, `systemd-nspawn`,
`nsenter`, `unshare`.
"""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

WITHIN_S = 30.0
LOOK_S = 0.05
DEVICES = Path("/sys/fs/cgroup/devices")
"""Control groups version 1 hold the device lists here; version 2 needs no help from us."""
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
UNWANTED = (
    "systemd-logind.service",
    "getty.target",
    "console-getty.service",
    "systemd-user-sessions.service",
    "systemd-update-utmp.service",
    "systemd-update-utmp-runlevel.service",
    "systemd-ask-password-wall.path",
    "systemd-tmpfiles-clean.timer",
    "dbus.service",
    "dbus.socket",
)
"""What a box has and no test of a service needs."""
OURS = ("/opt/mnedge", "/etc/mnedge", "/var/lib/mnedge", "/usr/local/bin/mnedge", "/usr/bin/mnedge")
"""What an mnedge that is installed on this very machine would leave in the copy."""
START = r"""
set -eu
mount -t tmpfs -o mode=0755 tmpfs "$1"
mkdir "$1/up" "$1/work" "$1/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/up,workdir=$1/work" "$1/root"
root="$1/root"
rm -rf "$root"/etc/systemd/system/*.wants "$root"/var/log/journal "$root"/etc/systemd/system/mnedge*
for path in $3; do rm -rf "$root$path"; done
for unit in $2; do ln -sf /dev/null "$root/etc/systemd/system/$unit"; done
echo box > "$root/etc/hostname"
mkdir -p "$root/var/log/journal"
if [ -n "$4" ]; then mkdir "$4"; echo $$ > "$4/cgroup.procs"; fi
code=133 # ends with this to be started again
while [ "$code" = 133 ]; do
  code=0
  systemd-nspawn --quiet --register=no --keep-unit --private-network --boot \
    --directory="$root" --machine="$5" --console=pipe --link-journal=no --timezone=off \
    --resolv-conf=off || code=$?
done
exit "$code"
"""


class Machine:
    """One boot of it; words run in it as root."""

    def __init__(self, folder: Path) -> None:
        self.name = f"mnbox{os.getpid()}"
        self._mount = folder / "machine"
        self._mount.mkdir(parents=True)
        self._console = (folder / "console").open("wb")
        self._group = DEVICES / self.name if (DEVICES / "devices.list").exists() else None
        self._nspawn = subprocess.Popen(
            [
                *("unshare", "--mount", "--propagation", "private", "sh", "-c", START, "sh"),
                *(str(self._mount), " ".join(UNWANTED), " ".join(OURS)),
                *(str(self._group or ""), self.name),
            ],
            stdin=subprocess.DEVNULL,
            stdout=self._console,
            stderr=subprocess.STDOUT,
            env={"PATH": PATH, "SYSTEMD_NSPAWN_API_VFS_WRITABLE": "yes"},
        )

    @property
    def init(self) -> int:
        """The process that is its first one; 0 while there is none."""
        with suppress(OSError, IndexError):
            pid = _first_child(_first_child(self._nspawn.pid))
            if Path(f"/proc/{pid}/comm").read_text() == "systemd\n":
                return pid
        return 0

    @property
    def guards_devices(self) -> bool:
        """Whether its systemd may say which devices a service opens."""
        return self._group is not None or Path("/sys/fs/cgroup/cgroup.controllers").exists()

    def path(self, name: str) -> Path:
        """Return the way to a file of its, from here."""
        return Path(f"/proc/{self.init}/root") / name.lstrip("/")

    def changes(self) -> dict[str, int]:
        """Return every file and link that it made or changed since it was switched on, and when."""
        top = Path(f"/proc/{self._nspawn.pid}/root{self._mount}/up")
        files = (path for path in top.rglob("*") if path.is_symlink() or not path.is_dir())
        return {f"/{path.relative_to(top)}": path.lstat().st_mtime_ns for path in files}

    def run(
        self,
        *words: str,
        code: int | None = 0,
        within_s: float = WITHIN_S * 2,
        user: str | None = None,
        **environ: str,
    ) -> subprocess.CompletedProcess[str]:
        """Run words in it to their end, as root or another user."""
        become = () if user is None else ("setpriv", f"--reuid={user}", f"--regid={user}",
                                          "--init-groups")  # fmt: skip
        done = subprocess.run(
            [
                *("nsenter", "--target", str(self.init), "--mount", "--uts", "--ipc", "--net"),
                *("--pid", "--root", "env", "--chdir=/", "-i", f"PATH={PATH}", "LANG=C.UTF-8"),
                *(f"{name}={value}" for name, value in ({"HOME": "/root"} | environ).items()),
                *(*become, *words),
            ],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=within_s,
            check=False,
        )
        assert code is None or done.returncode == code, f"{words}\n{done.stdout}{done.stderr}"
        return done

    def says(self, *words: str, **more: object) -> str:
        """Run words in it and return what they print."""
        return self.run(*words, **more).stdout.strip()  # type: ignore[arg-type]

    def property(self, unit: str, name: str) -> str:
        """Return what its systemd knows of a unit."""
        return self.says("systemctl", "show", unit, f"--property={name}", "--value")

    def journal(self, unit: str = "mnedge.service") -> str:
        """Return what a unit wrote."""
        return self.says("journalctl", "--namespace=+mnedge", "-u", unit, "-o", "cat", "--no-pager")

    def until(self, holds: Callable[[], object], within_s: float = WITHIN_S) -> None:
        """Wait until it is so."""
        deadline = time.monotonic() + within_s
        while not holds():
            assert time.monotonic() < deadline, self.journal()
            with suppress(subprocess.TimeoutExpired):
                self._nspawn.wait(LOOK_S)
            assert self._nspawn.poll() is None, "the machine went down"

    def booted(self) -> bool:
        """Tell whether it is up, with all that belongs to it."""
        if not self.init:
            return False
        state = self.run("systemctl", "is-system-running", code=None).stdout.strip()
        return state in ("running", "degraded")

    def boot(self) -> None:
        """Wait until it is up, and let its systemd guard devices."""
        self.until(self.booted)
        # Over it nspawn lays another one, which a service with a /proc of its own does not see.
        self.run("umount", "/proc/sys/kernel/random/boot_id", code=None)
        if self._group is not None:
            self.run("mount", "-o", "remount,bind,rw,nosuid,nodev,noexec", str(DEVICES))
            self.run("systemctl", "daemon-reexec")

    def cut_power(self) -> None:
        """Stop every process at once, in the middle of whatever it did; then boot."""
        init = self.init
        self.run("systemctl", "reboot", "--force", "--force", code=None)
        self.until(lambda: self.init not in (0, init))
        self.boot()

    def close(self) -> None:
        """Switch it off."""
        if self._nspawn.poll() is None and self.init:
            self.run("systemctl", "poweroff", "--force", "--force", code=None)
        try:
            self._nspawn.wait(WITHIN_S / 3)
        except subprocess.TimeoutExpired:
            for pid in (self.init, self._nspawn.pid):
                if pid:
                    os.kill(pid, signal.SIGKILL)
            self._nspawn.wait(WITHIN_S)
        self._console.close()
        if self._group is not None:
            for folder in sorted(self._group.rglob("*/"), reverse=True):
                with suppress(OSError):
                    folder.rmdir()
            with suppress(OSError):
                self._group.rmdir()
        self._mount.rmdir()


def _first_child(pid: int) -> int:
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


@contextmanager
def machine(folder: Path) -> Iterator[Machine]:
    """Have such a machine, up."""
    for program in ("systemd-nspawn", "nsenter", "unshare"):
        assert shutil.which(program), f"{program} is missing; `make setup test` installs it"
    made = Machine(folder)
    try:
        made.boot()
        yield made
    finally:
        made.close()
