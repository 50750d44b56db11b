"""The tutorial for plugin authors does what it says, with the shipped file."""

import json
import os
import re
import subprocess
import sys

import pytest

from tests.live.box import ROOT, until

pytestmark = pytest.mark.live
WITHIN_S = 120.0
FILES = {
    "toml": ["pyproject.toml"],
    "python": ["acme_boot.py", "test_acme_boot.py"],
    "json": ["started/manifest.json", "started/config/default.json"],
}
"""What its blocks are to be saved as, in their order."""


@pytest.fixture
def author(tmp_path):
    """The folder of somebody who has followed it."""
    text = (ROOT / "mnedge" / "docs" / "plugins.md").read_text()
    text = text.split("\n## Write one\n")[1].split("\n## Hooks\n")[0]
    for language, names in FILES.items():
        blocks = re.findall(rf"(?ms)^```{language}\n(.*?)^```$", text)
        assert len(blocks) == len(names)
        for name, block in zip(names, blocks, strict=True):
            assert f"`{name.rpartition('/')[2]}`" in text or f"`{name[8:]}`" in text
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(block)
    return tmp_path


def python(folder, *words):
    environ = {"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", *words],
        cwd=folder,
        env=environ,
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_tutorial_leads_to_a_plugin_that_works(binary, runtime, author):
    assert "." * 13 in python(author, "pytest", "-q", "-p", "no:cacheprovider")
    python(author, "pip", "wheel", "-q", "--no-build-isolation", "--no-deps", "-w", "dist", ".")
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(author),
        "MN_HOME": str(author / "mn"),
        "MNEDGE_RUNTIME_DIR": str(runtime),
    }

    def mnedge(*words):
        done = subprocess.run(
            [binary, *words],
            cwd=author,
            env=environ,
            capture_output=True,
            text=True,
            timeout=WITHIN_S,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    told = mnedge("plugin", "install", "dist/acme_boot-1.0-py3-none-any.whl")
    assert told.startswith("✓ acme-boot 1.0 is installed, and off\n  connectors: boot\n")
    told = mnedge("plugin", "install", "acme-boot", "--allow")
    assert told.startswith("✓ acme-boot 1.0 was installed already, and on\n  connectors: boot\n")
    run = subprocess.Popen(
        [binary, "blueprint", "run", "started", "--quiet"], cwd=author, env=environ
    )
    try:
        until(lambda: any((author / "mn" / "runs").glob("*/run.json")), WITHIN_S)
        events = ("job", "events", "last", "--json")
        until(lambda: "machine_started" in mnedge(*events), WITHIN_S)
        found = [e for e in json.loads(mnedge(*events)) if e["type"] == "machine_started"]
        assert len(found) == 1
        assert found[0]["payload"]["source_ref"]["boot_id"]
        mnedge("job", "cancel", "last")
        run.wait(timeout=WITHIN_S)
    finally:
        run.kill()
        run.wait()
    mnedge("plugin", "remove", "acme-boot", "--yes")
    assert json.loads(mnedge("plugin", "list", "--json")) == []
