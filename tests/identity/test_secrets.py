"""References to secrets: where they lead, what is refused, and that values show nowhere."""

import base64
import json
from urllib.parse import quote

import pytest

from mnedge.config.settings import SecretRef
from mnedge.identity.secrets import (
    SecretDeniedError,
    SecretNotFoundError,
    SecretReferenceError,
    Secrets,
    forms,
)

CANARY = 'ca"nary/+ä~hunter2!'


def kept(folder, text=CANARY, mode=0o400, name="key"):
    path = folder / name
    path.write_text(text)
    path.chmod(mode)
    return path


def test_each_source_gives_its_value(tmp_path):
    path = kept(tmp_path, CANARY + "\n")
    secrets = Secrets({"KEY": CANARY, "CREDENTIALS_DIRECTORY": str(tmp_path)})
    for reference in (
        "env:KEY",
        f"file:{path}",
        "cred:key",
        SecretRef(name="env", key="KEY"),
        SecretRef(name="file", key=str(path)),
        SecretRef(name="cred", key="key"),
    ):
        assert secrets.resolve(reference) == CANARY


@pytest.mark.parametrize(
    "reference", ["", "KEY", "vault:x", "env:", "cred:../key", "cred:a/b", "cred:.."]
)
def test_what_is_no_reference_is_refused(tmp_path, reference):
    with pytest.raises(SecretReferenceError):
        Secrets({"CREDENTIALS_DIRECTORY": str(tmp_path)}).resolve(reference)


@pytest.mark.parametrize("reference", ["env:NO", "file:/nowhere/at/all", "cred:key"])
def test_what_is_not_there_is_told(reference):
    with pytest.raises(SecretNotFoundError):
        Secrets({}).resolve(reference)


@pytest.mark.parametrize("mode", [0o400, 0o440, 0o600, 0o640])
def test_a_file_for_owner_and_group_is_read(tmp_path, mode):
    assert Secrets({}).resolve(f"file:{kept(tmp_path, mode=mode)}") == CANARY


@pytest.mark.parametrize("mode", [0o444, 0o604, 0o660, 0o777])
def test_a_file_for_others_is_not(tmp_path, mode):
    with pytest.raises(SecretDeniedError) as caught:
        Secrets({}).resolve(f"file:{kept(tmp_path, mode=mode)}")
    assert CANARY not in str(caught.value)


def test_a_link_may_stay_in_its_folder_but_not_leave_it(tmp_path):
    (tmp_path / "in").mkdir()
    kept(tmp_path / "in", name="real")
    (tmp_path / "in" / "near").symlink_to("real")
    assert Secrets({}).resolve(f"file:{tmp_path}/in/near") == CANARY
    kept(tmp_path, name="outside")
    (tmp_path / "in" / "far").symlink_to(tmp_path / "outside")
    with pytest.raises(SecretDeniedError, match="leads out"):
        Secrets({}).resolve(f"file:{tmp_path}/in/far")


def test_what_cannot_be_a_secret_is_refused(tmp_path):
    with pytest.raises(SecretDeniedError):
        Secrets({}).resolve(f"file:{kept(tmp_path, 'x' * 70_000, name='big')}")
    path = tmp_path / "bytes"
    path.write_bytes(b"\xff\xfe")
    path.chmod(0o400)
    with pytest.raises(SecretDeniedError):
        Secrets({}).resolve(f"file:{path}")
    with pytest.raises(SecretDeniedError):
        Secrets({}).resolve(f"file:{tmp_path}")


def test_a_resolved_value_is_hidden_in_every_form():
    secrets = Secrets({"KEY": CANARY})
    assert secrets.text(CANARY) == CANARY
    secrets.resolve("env:KEY")
    for before in ("", "u:", "ab", "user:"):
        coded = base64.b64encode(f"{before}{CANARY}".encode()).decode()
        hidden = secrets.text(f"x {coded} y")
        left = hidden.replace("[REDACTED]", "").split(" ")[1]
        assert len(left) <= 16, (before, hidden)
    for form in (CANARY, quote(CANARY), quote(CANARY, safe=""), json.dumps(CANARY)):
        assert "hunter2" not in secrets.text(f"key={form}&x=1")
    assert CANARY in secrets.values


def test_short_values_blot_out_nothing():
    secrets = Secrets({"KEY": "abc"})
    assert secrets.resolve("env:KEY") == "abc"
    assert secrets.text("abc abc") == "abc abc"
    assert all(len(form) >= 6 for form in forms("abcdef"))
