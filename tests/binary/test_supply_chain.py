"""What the shipped file is made of, under which licences, and who signed it."""

import email
import hashlib
import http.server
import json
import re
import shutil
import subprocess
import sys
import threading
from importlib import import_module

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from mnedge.updates import envelope
from tests.conftest import ROOT

pytestmark = pytest.mark.live
PACKAGING = ROOT / "packaging"


@pytest.fixture
def script(monkeypatch):
    """Have a module of `packaging/`, which is no package."""
    monkeypatch.syspath_prepend(str(PACKAGING))
    return import_module


@pytest.fixture(scope="module")
def bill(shipped, binary):
    return json.loads((shipped / f"{binary.name}.cdx.json").read_bytes())


def every(component):
    """Yield a component and all that is inside it."""
    yield component
    for inner in component.get("components", []):
        yield from every(inner)


def ran(*words, code=0, **environ):
    done = subprocess.run(
        [str(word) for word in words],
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", **environ},
        timeout=60,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


class TestTheBillOfMaterials:
    def test_it_is_one(self, shipped, binary):
        text = (shipped / f"{binary.name}.cdx.json").read_text()
        assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None

    def test_the_program_prints_the_one_that_stands_beside_it(self, shipped, binary, runtime):
        printed = ran(binary, "sbom", "--json", MNEDGE_RUNTIME_DIR=str(runtime))
        assert printed == (shipped / f"{binary.name}.cdx.json").read_text()
        table = ran(binary, "sbom", MNEDGE_RUNTIME_DIR=str(runtime))
        assert re.search(r"^trio +\d", table, re.MULTILINE)
        assert re.search(r"^  openssl +\d", table, re.MULTILINE), "what is inside cryptography"

    def test_it_names_every_distribution_that_was_shipped(self, bill, onedir):
        shipped = {
            (said["Name"], said["Version"])
            for place in (onedir / "_internal").glob("*.dist-info")
            for said in [email.message_from_bytes((place / "METADATA").read_bytes())]
        }
        listed = {(one["name"], one["version"]) for one in bill["components"]}
        subject = bill["metadata"]["component"]
        assert shipped <= listed | {(subject["name"], subject["version"])}
        assert {"mnedge", "trio", "cryptography", "redis", "paramiko"} <= {n for n, _ in shipped}

    def test_every_package_comes_from_a_wheel_of_a_lock(self, bill, binary):
        lock = "full" if binary.name.endswith("full") else "lean"
        locked = set(re.findall(r"sha256:(\w{64})", (PACKAGING / f"{lock}.lock").read_text()))
        packages = [one for one in bill["components"] if one["purl"].startswith("pkg:pypi/")]
        assert len(packages) > 30
        for one in packages:
            assert one["hashes"][0]["content"] in locked, one["name"]

    def test_it_lists_every_shared_library_with_its_hash(self, bill, onedir):
        files = {
            one["name"]: one["hashes"][0]["content"]
            for component in bill["components"]
            for one in every(component)
            if one["type"] == "file"
        }
        libraries = {
            str(path.relative_to(onedir))
            for path in (onedir / "_internal").glob("lib*.so*")
            if not path.is_symlink()
        }
        assert libraries <= set(files)
        for name, digest in files.items():
            assert hashlib.sha256((onedir / name).read_bytes()).hexdigest() == digest, name

    def test_libraries_and_interpreter_have_their_versions(self, bill, onedir):
        found = {one["name"]: one["version"] for one in bill["components"]}
        ask = (
            "import sqlite3, ssl, zlib, platform;"
            "print(platform.python_version(), sqlite3.sqlite_version,"
            " ssl.OPENSSL_VERSION.split()[1], zlib.ZLIB_RUNTIME_VERSION)"
        )
        inside = ran(onedir / "_internal" / "python" / "bin" / "python3", "-c", ask).split()
        names = ("cpython", "sqlite", "openssl", "zlib")
        assert [found[name] for name in names] == inside
        assert "unknown" not in found.values()

    def test_the_graph_holds_every_part_and_nothing_else(self, bill):
        refs = {one["bom-ref"] for one in bill["components"]}
        subject = bill["metadata"]["component"]["bom-ref"]
        graph = {one["ref"]: set(one["dependsOn"]) for one in bill["dependencies"]}
        assert set(graph) == refs | {subject}
        assert set.union(*graph.values()) == refs, "everything is there for a reason"

    def test_no_machine_and_no_hour_is_in_it(self, bill):
        text = json.dumps(bill)
        assert str(ROOT) not in text
        assert "/tmp/" not in text
        moment = bill["metadata"]["timestamp"]
        assert moment.endswith("Z")


class TestTheOldestSystem:
    def test_the_floor_is_what_the_files_ask_for(self, bill, onedir):
        """Counted here with another tool than the build's."""
        files = [path for path in onedir.rglob("*") if path.is_file() and not path.is_symlink()]
        compiled = [path for path in files if path.read_bytes()[:4] == b"\x7fELF"]
        said = ran("objdump", "-T", *compiled)
        asked = {
            tuple(map(int, found.split(".")))
            for found in re.findall(r"\(?GLIBC_(\d+\.\d+(?:\.\d+)?)\)?", said)
        }
        floor = ".".join(map(str, max(asked)))
        told = {one["name"]: one["value"] for one in bill["metadata"]["component"]["properties"]}
        assert told["mnedge:glibc"] == floor

    def test_the_manual_does_not_promise_more(self, bill):
        page = (ROOT / "mnedge" / "docs" / "binary.md").read_text()
        promised = re.search(r"glibc ([\d.]+) or newer", page)
        told = {one["name"]: one["value"] for one in bill["metadata"]["component"]["properties"]}
        needed = tuple(map(int, told["mnedge:glibc"].split(".")))
        assert tuple(map(int, promised[1].split("."))) >= needed, (
            "built on a newer system than the manual says: build on an older one, or say so there"
        )

    def test_a_file_without_needs_has_none(self, script, tmp_path):
        floor = script("floor")
        source = tmp_path / "none.c"
        source.write_text("int one(void) { return 1; }\n")
        ran("gcc", "-shared", "-nostdlib", "-o", tmp_path / "none.so", source)
        assert floor.of_file(tmp_path / "none.so") == ()
        assert floor.of(tmp_path) == ()


class TestLicences:
    def test_every_part_says_its_licence_and_brings_its_text(self, onedir):
        folder = onedir / "_internal" / "licences"
        rows = json.loads((folder / "index.json").read_bytes())
        for row in rows:
            assert row["licence"] != "NOASSERTION", row
            assert row["texts"], row
            assert all((folder / text).stat().st_size > 50 for text in row["texts"])
        assert all(row["name"] in (folder / "INDEX.txt").read_text() for row in rows)

    def test_the_program_prints_a_licence(self, binary, runtime):
        told = ran(binary, "sbom", "--licence", "msgspec", MNEDGE_RUNTIME_DIR=str(runtime))
        assert "BSD-3-Clause" in told
        assert "Redistribution and use" in told

    @pytest.mark.parametrize(
        "licence, refused",
        [
            ("MIT", False),
            ("LGPL-2.1-or-later", False),
            ("GPL-3.0-or-later", True),
            ("AGPL-3.0-only", True),
            ("GPL-3.0-or-later WITH GCC-exception-3.1", False),
            ("MIT OR GPL-2.0-only", False),
            ("GPL-2.0-only OR AGPL-3.0-only", True),
            ("MIT AND GPL-3.0-only", True),
        ],
    )
    def test_what_would_bind_the_whole_program_is_refused(self, script, licence, refused):
        assert script("licences").is_refused(licence) is refused

    @pytest.mark.parametrize(
        "metadata, licence",
        [
            ("License-Expression: MIT OR Apache-2.0", "MIT OR Apache-2.0"),
            ("License-Expression: LGPL-2.1", "LGPL-2.1-only"),
            ("License: BSD", "BSD-3-Clause"),
            ("Classifier: License :: OSI Approved :: MIT License", "MIT"),
            ("License: see LICENSE\nClassifier: License :: OSI Approved :: ISC License (ISCL)",
             "ISC"),
            ("Classifier: License :: Other/Proprietary License", "NOASSERTION"),
            ("Name: x", "NOASSERTION"),
        ],
    )  # fmt: skip
    def test_a_licence_is_read_in_every_way_it_is_written(self, script, metadata, licence):
        assert script("parts").licence_of(email.message_from_string(metadata)) == licence

    def test_a_build_with_a_library_under_the_gpl_stops(self, script, onedir, tmp_path, capsys):
        folder = tmp_path / "mnedge"
        (folder / "_internal").mkdir(parents=True)
        shutil.copy(next((onedir / "_internal").glob("libz.so*")),
                    folder / "_internal" / "libreadline.so.8")  # fmt: skip
        assert script("licences").main(folder) == 1
        assert "may not be shipped: readline" in capsys.readouterr().err


class TestChecksumsAndSignature:
    def test_the_sums_are_those_of_the_files(self, shipped, binary):
        said = (shipped / "SHA256SUMS").read_text()
        names = [line.partition("  ")[2] for line in said.splitlines()]
        assert {binary.name, f"{binary.name}.cdx.json"} <= set(names)
        done = subprocess.run(
            ["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=shipped, capture_output=True
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def test_whoever_pinned_the_key_can_read_what_was_signed(self, binary, tmp_path):
        file = tmp_path / "mnedge"
        shutil.copy(binary, file)
        sign = (sys.executable, PACKAGING / "sign.py")
        told = ran(*sign, "--new-key", tmp_path / "private.pem")
        assert (tmp_path / "private.pem").stat().st_mode & 0o777 == 0o600
        assert "keys are never replaced" in ran(
            *sign, "--new-key", tmp_path / "private.pem", code=1
        )
        key = {"MNEDGE_SIGNING_KEY": str(tmp_path / "private.pem"), "PYTHONPATH": str(ROOT)}
        ran(*sign, file, "--flavour", "lean", **key, SOURCE_DATE_EPOCH="1767225600")
        pinned = envelope.read_keys([told.strip().splitlines()[-1]])
        release = envelope.opened((tmp_path / "mnedge.release.json").read_bytes(), pinned)
        assert (release.file, release.size) == ("mnedge", binary.stat().st_size)
        assert release.sha256 == hashlib.sha256(binary.read_bytes()).hexdigest()
        assert (release.flavour, release.source_date_epoch) == ("lean", 1767225600)
        assert release.schema > 0
        with pytest.raises(envelope.NotSignedError):
            envelope.opened((tmp_path / "mnedge.release.json").read_bytes(), {})
        assert "stays unsigned" in ran(*sign, file)
        assert not (tmp_path / "mnedge.release.json").exists(), "a statement of an older file"

    def test_a_key_that_is_not_there_is_an_error(self, tmp_path):
        file = tmp_path / "mnedge"
        file.write_bytes(b"x")
        key = {"MNEDGE_SIGNING_KEY": str(tmp_path / "none.pem"), "PYTHONPATH": str(ROOT)}
        told = ran(sys.executable, PACKAGING / "sign.py", file, code=1, **key)
        assert "none.pem: No such file" in told

    def test_what_is_no_key_or_no_file_is_said_in_a_line(self, tmp_path):
        sign = (sys.executable, PACKAGING / "sign.py")
        (tmp_path / "no.pem").write_text("no key")
        key = {"MNEDGE_SIGNING_KEY": str(tmp_path / "no.pem"), "PYTHONPATH": str(ROOT)}
        file = tmp_path / "mnedge"
        assert "mnedge: No such file" in ran(*sign, file, code=1, **key)
        file.write_bytes(b"x")
        told = ran(*sign, file, code=1, **key)
        assert "no.pem: the private key cannot be read" in told
        nowhere = ran(*sign, "--new-key", tmp_path / "nowhere" / "a.pem", code=1, **key)
        assert "a.pem: No such file" in nowhere
        assert "Traceback" not in told + nowhere


class Database(http.server.BaseHTTPRequestHandler):
    """Knows one vulnerability, and one that was taken back."""

    def log_message(self, *_):
        pass

    def _say(self, value):
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        known = {("bad", "1.0"): [{"id": "X-1"}, {"id": "X-0"}]}
        self._say(
            {
                "results": [
                    {"vulns": known.get((one["package"]["name"], one["version"]), [])}
                    for one in asked["queries"]
                ]
            }
        )

    def do_GET(self):
        span = {"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1.1"}]}
        told = {
            "X-1": {
                "summary": "it leaks",
                "affected": [{"package": {"name": "bad"}, "ranges": [span]}],
            },
            "X-0": {"withdrawn": "2026-01-01"},
        }
        self._say(told[self.path.rpartition("/")[2]])


class TestKnownVulnerabilities:
    LOOK = (sys.executable, PACKAGING / "vulnerabilities.py")

    @pytest.fixture
    def database(self):
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Database)
        thread = threading.Thread(target=server.serve_forever)  # noqa: TID251
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()
        server.server_close()

    def lock(self, tmp_path, text):
        (tmp_path / "some.lock").write_text(text)
        return tmp_path / "some.lock"

    def test_what_is_known_is_told_with_what_mends_it(self, database, tmp_path):
        lock = self.lock(tmp_path, "bad==1.0 \\\n    --hash=sha256:00\ngood[extra]==2.0 ; x\n")
        told = ran(*self.LOOK, lock, code=1, OSV_URL=database)
        assert told.splitlines() == [
            "bad 1.0: X-1 it leaks; mended in 1.1",
            "vulnerabilities: 2 packages, 1 known vulnerabilities",
        ]

    def test_nothing_known_is_good(self, database, tmp_path):
        lock = self.lock(tmp_path, "bad==1.1\n")
        told = ran(*self.LOOK, lock, OSV_URL=database)
        assert told == "vulnerabilities: 1 packages, 0 known vulnerabilities\n"

    def test_no_database_is_no_all_clear(self, tmp_path):
        lock = self.lock(tmp_path, "bad==1.0\n")
        told = ran(*self.LOOK, lock, code=3, OSV_URL="http://127.0.0.1:9")
        assert "cannot be reached: " in told
        assert "nothing was checked" in told

    def test_all_our_locks_are_understood(self, script):
        look = script("vulnerabilities")
        locks = [ROOT / "requirements.lock", *PACKAGING.glob("*.lock")]
        names = {one.name for one in look.pinned(lock.read_text() for lock in locks)}
        assert {"trio", "hiredis", "pyinstaller", "pytest", "numba"} <= names
