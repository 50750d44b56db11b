import json
import os
import signal
import subprocess
import sys

import pytest

from tests.conftest import ROOT

pytestmark = pytest.mark.live


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_daemon_says_when_it_is_ready_and_ends_when_told(tmp_path, number):
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        env={"HOME": str(tmp_path), "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            assert process.stderr is not None
            line = json.loads(process.stderr.readline())
            assert line["message"] == f"mnedge daemon ready: {tmp_path}/.mn/mnedge"
            process.send_signal(number)
            assert process.wait(timeout=20) == 0
            lines = [json.loads(line) for line in process.stderr.read().splitlines()]
            [line] = [line for line in lines if line["component"] != "devices"]
            assert line["message"] == "mnedge daemon stops"
        finally:
            process.kill()


PROGRAM = """
import os, sys
sys.path.append(os.path.join(os.environ["PYTHONPATH"], "plugins"))
from mnedge.config.read import load_config
from mnedge.daemon.main import serve
sys.exit(serve(lambda: load_config(os.environ)))
"""
