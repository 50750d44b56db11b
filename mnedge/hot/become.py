"""Become another program, as the plain twin of the spawn helper needs it; run as a script.

Standard library only: it is started with `-I -S`, where mnedge cannot be imported.
Arguments: owner's process id, `keep` or `drop` (LC_CTYPE, which Python may set for itself),
directory, path, and the program's own arguments.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
ERROR_FD = 3


def become(owner: int, locale: str, directory: str, path: str, arguments: list[str]) -> None:
    """Ask for the death signal, go to the directory, and exec; say on `ERROR_FD` what failed."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != owner:
        return
    os.set_inheritable(ERROR_FD, False)
    os.closerange(ERROR_FD + 1, 1 << 16)
    # What came before setsid, such as Ctrl-C, was meant for the owner's group: ignoring a signal
    # throws away the one that waits.
    for number in signal.sigpending():
        signal.signal(number, signal.SIG_IGN)
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    if locale == "drop":
        os.environ.pop("LC_CTYPE", None)
    doing = "cd"
    try:
        os.chdir(directory)
        doing = "exec"
        os.execve(path, arguments, os.environ)  # noqa: S606
    except OSError as error:
        os.write(ERROR_FD, f"{error.errno} {doing}".encode())


if __name__ == "__main__":
    become(int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4], sys.argv[5:])
    os._exit(127)
