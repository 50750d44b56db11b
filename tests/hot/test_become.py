import os
import subprocess
import sys
from pathlib import Path

import pytest

from mnedge.hot import become

pytestmark = pytest.mark.live

SCRIPT = Path(become.__file__)


def run(*arguments, environment=None):
    """Run the script as `spawn_plain` does; return what it said on its error stream and stdout."""
    ours, theirs = os.pipe()
    code = (
        "import os, sys; os.dup2(int(sys.argv[1]), 3); "
        "os.execv(sys.executable, [sys.executable, '-I', '-S', *sys.argv[2:]])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(theirs), str(SCRIPT), *arguments],
        pass_fds=[theirs],
        capture_output=True,
        check=False,
        env=environment,
    )
    os.close(theirs)
    with open(ours, "rb") as file:
        return file.read().decode(), done


def test_it_becomes_the_program():
    failure, done = run(str(os.getpid()), "keep", "/usr", "/bin/sh", "sh", "-c", "pwd; exit 4")
    assert failure == ""
    assert (done.stdout, done.returncode) == (b"/usr\n", 4)


def test_it_says_where_it_failed():
    assert run(str(os.getpid()), "keep", "/nowhere", "/bin/sh", "sh")[0] == "2 cd"
    assert run(str(os.getpid()), "keep", "/", "/nowhere", "x")[0] == "2 exec"


def test_it_ends_if_its_owner_is_gone_already():
    failure, done = run("1", "keep", "/", "/bin/echo", "echo", "still here")
    assert failure == ""
    assert (done.stdout, done.returncode) == (b"", 127)


def test_a_locale_that_python_set_for_itself_goes_no_further():
    environment = {"LC_CTYPE": "C.UTF-8", "A": "1"}
    env = (str(os.getpid()), "drop", "/", "/usr/bin/env", "env")
    assert run(*env, environment=environment)[1].stdout == b"A=1\n"
