"""What a daemon's threads take and give back lies in one heap."""

import platform
import subprocess
import sys

import pytest

MANY_THREADS = """
import ctypes, sys, threading
from mnedge.daemon.memory import share_one_heap
if sys.argv[1] == "one":
    assert share_one_heap()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
met = threading.Barrier(9)
def work():
    libc.malloc(50_000)
    met.wait()
    met.wait()
for _ in range(8):
    threading.Thread(target=work).start()
met.wait()
libc.malloc_stats()
met.wait()
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's own switch")
@pytest.mark.parametrize("mode, one", [("one", True), ("many", False)])
def test_threads_share_one_heap(mode, one):
    told = subprocess.run(
        [sys.executable, "-c", MANY_THREADS, mode], capture_output=True, text=True, check=True
    ).stderr
    assert (told.count("Arena ") == 1) is one
