"""`mnedge update` on a machine without systemd, where something else starts what ended."""

import json
import os
import shutil
from hashlib import sha256
from pathlib import Path

import pytest

from mnedge.config.layout import release_id
from mnedge.updates.envelope import new_key
from tests.binary import builds
from tests.binary.bare_root import BareRoot, laid_out

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(os.geteuid() != 0, reason="an installed node is updated by root"),
]
PEM, LINE = new_key()
CONFIG = f"""
data_dir: /var/lib/mnedge
runs_root: /var/lib/mnedge/runs
updates: {{keys: ["{LINE}"], healthTimeout: 6s, settle: 500ms}}
"""
SUPERVISED = """
while :; do
  /opt/mnedge/current/mnedge daemon --config /etc/mnedge/config.yaml
  sleep 0.1
done 2>/log &
until [ -S /var/lib/mnedge/mnedge.sock ]; do sleep 0.05; done
for file in /srv/newer /srv/bad; do
  /opt/mnedge/current/mnedge update $file --output ndjson
  echo "$?"
done
/opt/mnedge/current/mnedge --version
"""


def test_whoever_supervises_it_starts_the_new_one_and_the_old_one_again(binary, tmp_path):
    root = laid_out(tmp_path / "root")
    first = release_id(builds.described(binary)["version"], sha256(binary.read_bytes()).hexdigest())
    release = root / "opt" / "mnedge" / "releases" / first
    for folder in (release, root / "opt/mnedge/runtime", root / "etc/mnedge", root / "srv"):
        folder.mkdir(parents=True, exist_ok=True)
    (root / "var/lib/mnedge/runs").mkdir(parents=True)
    shutil.copy(binary, release / "mnedge")
    (root / "opt/mnedge/current").symlink_to(f"releases/{first}")
    (root / "etc/mnedge/config.yaml").write_text(CONFIG)
    builds.signed(builds.newer(binary, root / "srv/newer", "0.8.0"), PEM, binary, "0.8.0")
    builds.signed(builds.bad(binary, root / "srv/bad", "0.9.0", "crashes"), PEM, binary, "0.9.0")
    done = BareRoot(root).run("/bin/sh", "-c", SUPERVISED)
    lines = done.stdout.splitlines()
    good, bad = json.loads(lines[0]), json.loads(lines[2])
    assert (good["result"], good["well"], lines[1]) == ("confirmed", True, "0")
    assert (bad["result"], bad["unwell"], lines[3]) == ("rolled_back", "", "1")
    assert lines[4] == "mnedge 0.8.0"
    left = {path.name for path in Path(root / "opt/mnedge").iterdir()}
    assert left == {"current", "previous", "releases", "runtime", "last-update.json", "update.lock"}
