"""Which start of this machine it is."""

import subprocess
import sys
from uuid import UUID

from mnedge.boot import boot_id


def test_every_process_says_the_same():
    program = "from mnedge.boot import boot_id; print(boot_id())"
    said = subprocess.check_output([sys.executable, "-c", program], text=True)
    assert UUID(boot_id()) == UUID(said.strip())


def test_without_the_proc_file_system_the_moment_of_the_start_names_it(tmp_path):
    assert int(boot_id(str(tmp_path))) > 1e9
