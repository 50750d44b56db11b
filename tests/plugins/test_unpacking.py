"""What was judged is written as RECORD says, or the whole of it is refused."""

import base64
import hashlib

import pytest

from mnedge.plugins.problem import PluginRefusedError
from mnedge.plugins.unpacking import unpack
from mnedge.plugins.wheel import read_wheel
from tests.plugins.wheels import RECORD, files_of, packed, wheel, written


def refused(path, target):
    """Return all that is said against it."""
    with pytest.raises(PluginRefusedError) as told:
        unpack(read_wheel(path), target)
    return "\n".join(problem.message for problem in told.value.reasons)


def test_the_digest_is_that_of_the_contents(tmp_path):
    one = unpack(read_wheel(wheel(tmp_path / "a")), tmp_path / "1")
    same = unpack(read_wheel(wheel(tmp_path / "b")), tmp_path / "2")
    changed = wheel(tmp_path / "d", modules={"acme_runner.py": "x = 1\n"})
    assert one.digest == same.digest
    assert unpack(read_wheel(changed), tmp_path / "4").digest != one.digest


def test_a_file_that_differs_from_record_is_named(tmp_path):
    files = files_of()
    files["acme_runner.py"] += b"import os\n"
    assert "acme_runner.py cannot be unpacked: it is larger" in refused(
        written(tmp_path, files), tmp_path / "x"
    )
    files = files_of()
    files["acme_runner.py"] = files["acme_runner.py"][:-1] + b"#"
    told = refused(written(tmp_path, files), tmp_path / "y")
    assert "acme_runner.py is not what RECORD says" in told
    assert "get it again" in told


def test_a_bomb_that_lies_about_its_size_is_cut_off(tmp_path):
    whole = packed(files_of(modules={"acme_runner.py": "", "zeros": b"\0" * 100_000}))
    lying = whole.replace((100_000).to_bytes(4, "little"), (10).to_bytes(4, "little"))
    assert lying != whole
    assert refused(written(tmp_path, lying), tmp_path / "x")


def test_a_record_with_stronger_hashes_is_taken(tmp_path):
    files = files_of(modules={"acme_runner.py": "x = 1\n"})
    lines = []
    for path, content in files.items():
        if path != RECORD:
            digest = base64.urlsafe_b64encode(hashlib.sha512(content).digest()).decode().rstrip("=")
            lines.append(f"{path},sha512={digest},{len(content)}\n")
    files[RECORD] = "".join(lines).encode()
    assert unpack(read_wheel(written(tmp_path, files)), tmp_path / "there").files
