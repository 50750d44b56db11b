import os
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnedge.execution import staging
from mnedge.execution.refusal import RefusedError
from mnedge.execution.staging import Documents


@pytest.fixture
def payloads(tmp_path):
    folder = tmp_path / "bundle" / "payloads"
    (folder / "app" / "deep").mkdir(parents=True)
    (folder / "app" / "main.py").write_text("main")
    (folder / "app" / "deep" / "more.py").write_text("more")
    (folder / "app" / "run.sh").write_text("#!/bin/sh\n")
    (folder / "app" / "run.sh").chmod(0o755)
    (folder / "patch").mkdir()
    (folder / "patch" / "main.py").write_text("patched")
    (tmp_path / "secret").write_text("secret")
    return folder


@pytest.fixture
def workspace(tmp_path):
    path = tmp_path / "work" / "job" / "a-1"
    staging.make_workspace(str(path))
    return path


def stage(config, payloads, workspace):
    planned = staging.uploads(config, str(payloads))
    staging.copy_uploads(planned, str(workspace), str(payloads))
    return {
        str(path.relative_to(workspace)): path.read_text()
        for path in workspace.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize(
    "config,files",
    [
        ({}, []),
        ({"upload_path": "app/main.py"}, ["main.py"]),
        ({"upload_path": "app"}, ["app/deep/more.py", "app/main.py", "app/run.sh"]),
        ({"upload_path": "app/", "upload_as": "x/y"},
         ["x/y/deep/more.py", "x/y/main.py", "x/y/run.sh"]),
        ({"upload_path": "app", "upload_as": "."}, ["deep/more.py", "main.py", "run.sh"]),
        ({"upload_path": "app", "upload_paths": [{"source": "patch"}]}, ["patch/main.py"]),
        ({"upload_path": "app/main.py", "upload_paths": []}, ["main.py"]),
        ({"uploads": [{"source": "app/main.py", "target": "/sandbox/x.py"}]}, ["x.py"]),
        ({"uploads": [{"source": "app/main.py", "target": "/sandbox/job/d/x.py"}]}, ["d/x.py"]),
        ({"uploads": [{"source": "app/main.py", "target": "/mn/job/x.py"}]}, ["x.py"]),
        ({"uploads": ["app/main.py"]}, ["main.py"]),
        ({"sandbox_upload_path": "/my/box",
          "uploads": [{"source": "app/main.py", "target": "/my/box/x.py"}]}, ["x.py"]),
    ],
)  # fmt: skip
def test_uploads_land_where_the_manifest_says(payloads, workspace, config, files):
    assert sorted(stage(config, payloads, workspace)) == files


def test_later_uploads_lie_over_earlier_ones(payloads, workspace):
    listed = [{"source": "app"}, {"source": "patch", "target": "app"}]
    found = stage({"upload_paths": listed}, payloads, workspace)
    assert found["app/main.py"] == "patched"
    assert found["app/deep/more.py"] == "more"


def test_a_copy_keeps_its_mode_but_can_always_be_written(payloads, workspace):
    (payloads / "app" / "main.py").chmod(0o444)
    stage({"upload_path": "app"}, payloads, workspace)
    assert stat.S_IMODE((workspace / "app" / "run.sh").stat().st_mode) == 0o755
    assert stat.S_IMODE((workspace / "app" / "main.py").stat().st_mode) == 0o644


@pytest.mark.parametrize("size_bytes", [10, 5 << 20])
def test_what_a_worker_writes_never_reaches_the_payload(payloads, workspace, size_bytes):
    source = payloads / "app" / "big"
    source.write_bytes(b"a" * size_bytes)
    stage({"upload_path": "app"}, payloads, workspace)
    copied = workspace / "app" / "big"
    assert copied.read_bytes() == source.read_bytes()
    with copied.open("r+b") as file:
        file.write(b"overwritten")
    assert source.read_bytes() == b"a" * size_bytes
    assert copied.stat().st_nlink == 1


@pytest.mark.parametrize(
    "source,text",
    [
        ("../secret", "upload source must stay inside blueprint payloads: ../secret"),
        ("/etc/passwd", "upload source must stay inside blueprint payloads: /etc/passwd"),
        ("app/../../secret", "upload source must stay inside blueprint payloads: "),
        ("leak", "upload source must stay inside blueprint payloads: leak"),
        ("leaks/secret", "upload source must stay inside blueprint payloads: leaks/secret"),
        ("folder_with_leak", "upload source must stay inside blueprint payloads: "),
        ("absent", "upload source does not exist: {payloads}/absent"),
        ("dangling", "upload source does not exist: {payloads}/dangling"),
    ],
)
def test_no_source_is_outside_or_missing(payloads, workspace, source, text):
    (payloads / "leak").symlink_to("../../secret")
    (payloads / "leaks").symlink_to("../..")
    (payloads / "folder_with_leak").mkdir()
    (payloads / "folder_with_leak" / "inner").symlink_to("../../../secret")
    (payloads / "dangling").symlink_to("nowhere")
    with pytest.raises(RefusedError) as refused:
        stage({"upload_path": source}, payloads, workspace)
    assert str(refused.value).startswith(text.format(payloads=payloads))
    assert list(workspace.rglob("inner")) == []


@pytest.mark.parametrize("target", ["../x", "/etc/x", "a/../../x", "/sandbox/../x", "/sandboxed"])
def test_no_target_is_outside(payloads, target):
    config = {"uploads": [{"source": "app", "target": target}]}
    with pytest.raises(RefusedError) as refused:
        staging.uploads(config, str(payloads))
    assert str(refused.value) == f"upload target must stay inside sandbox workspace: {target}"


def test_links_inside_the_payloads_become_copies(payloads, workspace):
    (payloads / "app" / "alias.py").symlink_to("main.py")
    (payloads / "app" / "folder").symlink_to("../patch")
    found = stage({"upload_path": "app"}, payloads, workspace)
    assert found["app/alias.py"] == "main"
    assert found["app/folder/main.py"] == "patched"
    assert not any(path.is_symlink() for path in workspace.rglob("*"))


def test_a_folder_that_contains_itself_is_refused(payloads, workspace):
    (payloads / "app" / "again").symlink_to("../app")
    with pytest.raises(RefusedError, match="contains itself"):
        stage({"upload_path": "app"}, payloads, workspace)


def test_what_is_no_plain_file_is_refused(payloads, workspace):
    os.mkfifo(payloads / "app" / "pipe")
    with pytest.raises(OSError, match="no plain file"):
        stage({"upload_path": "app"}, payloads, workspace)


@pytest.mark.parametrize("listed", [[5], [{}], [{"source": 3}], [{"source": ""}], [None]])
def test_a_list_of_something_else_is_refused(payloads, listed):
    with pytest.raises(RefusedError, match="list of objects with a source"):
        staging.uploads({"upload_paths": listed}, str(payloads))


def test_without_payloads_nothing_can_be_uploaded():
    assert staging.uploads({}, None) == []
    with pytest.raises(RefusedError, match="does not exist"):
        staging.uploads({"upload_path": "app"}, None)


@pytest.mark.parametrize(
    "config,expected",
    [
        ({}, "/w"),
        ({"workdir": "/sandbox/job"}, "/w"),
        ({"workdir": "/sandbox/job/app/"}, "/w/app"),
        ({"workdir": "/mn/job/app"}, "/w/app"),
        ({"workdir": "/sandbox"}, "/w"),
        ({"workdir": "/sandbox/app"}, "/w/app"),
        ({"workdir": "/usr/share"}, "/usr/share"),
        ({"workdir": "app"}, "/w/app"),
        ({"workdir": "/my/box/app", "sandbox_upload_path": "/my/box"}, "/w/app"),
        ({"workdir": "/my/boxes", "sandbox_upload_path": "/my/box/"}, "/my/boxes"),
        ({"workdir": 5}, "/w"),
    ],
)
def test_a_workdir_below_the_sandbox_is_in_the_workspace(config, expected):
    assert staging.workdir(config, "/w") == expected


@pytest.mark.parametrize("named", ["/sandbox/job/../../etc", "../x", "/mn/job/.."])
def test_a_workdir_does_not_lead_out_of_the_sandbox_again(named):
    with pytest.raises(RefusedError, match="workdir must stay inside"):
        staging.workdir({"workdir": named}, "/w")


DOCUMENTS = Documents(b"input", b"message", b"body", b"context", b"meta")


def test_documents_replace_what_a_payload_put_in_their_place(payloads, workspace, tmp_path):
    (payloads / "mirror_neuron_input.json").write_text("forged")
    stage({"upload_path": "mirror_neuron_input.json"}, payloads, workspace)
    (workspace / "mirror_neuron_body.bin").write_bytes(b"longer than the body")
    staging.write_documents(str(workspace), DOCUMENTS, with_meta=True)
    assert {path.name: path.read_text() for path in workspace.iterdir()} == {
        "mirror_neuron_input.json": "input",
        "mirror_neuron_message.json": "message",
        "mirror_neuron_body.bin": "body",
        "mirror_neuron_context.json": "context",
        "mirror_neuron_body_meta.json": "meta",
    }


def test_only_openshell_gets_the_body_meta(workspace):
    staging.write_documents(str(workspace), DOCUMENTS, with_meta=False)
    assert len(list(workspace.iterdir())) == 4


def test_a_document_is_never_written_through_a_link(workspace, tmp_path):
    (workspace / "mirror_neuron_input.json").symlink_to(tmp_path / "secret")
    with pytest.raises(OSError, match="symbolic links"):
        staging.write_documents(str(workspace), DOCUMENTS, with_meta=False)


def test_a_workspace_is_fresh_and_private(workspace):
    (workspace / "left").write_text("over")
    staging.make_workspace(str(workspace))
    assert list(workspace.iterdir()) == []
    assert stat.S_IMODE(workspace.stat().st_mode) == 0o700


def test_few_things_are_removed_at_once_many_are_left_for_a_thread(workspace):
    (workspace / "a" / "b").mkdir(parents=True)
    (workspace / "a" / "link").symlink_to("/etc")
    for number in range(20):
        (workspace / "a" / "b" / str(number)).write_text("x")
    assert not staging.remove_few(str(workspace), most=10)
    assert staging.remove_few(str(workspace))
    assert not workspace.exists()
    assert staging.remove_few(str(workspace)), "what is not there is gone"
    assert os.path.isdir("/etc")


def test_a_workspace_goes_whatever_a_worker_did_to_its_modes(workspace):
    locked = workspace / "locked" / "inner"
    locked.mkdir(parents=True)
    (locked / "file").write_text("x")
    locked.chmod(0)
    (workspace / "locked").chmod(0o500)
    staging.remove_workspace(str(workspace))
    assert not workspace.exists()


def test_small_uploads_are_told_from_large_ones(payloads):
    def planned(name):
        return staging.uploads({"upload_path": name}, str(payloads))

    assert staging.is_small(planned("app"))
    (payloads / "many").mkdir()
    for number in range(100):
        (payloads / "many" / str(number)).touch()
    assert not staging.is_small(planned("many"))
    (payloads / "app" / "big").write_bytes(bytes(2 << 20))
    assert not staging.is_small(planned("app"))


@given(st.text(max_size=120), st.text(max_size=120))
def test_folder_names_are_safe_and_never_shared(one, other):
    name = staging.folder_name(one)
    assert "/" not in name
    assert ":" not in name
    assert name not in ("", ".", "..")
    assert len(name) <= 100
    assert (name == staging.folder_name(other)) == (one == other)


def test_a_plain_name_stays():
    assert staging.folder_name("job-1_x.y") == "job-1_x.y"


def test_a_run_is_named_for_people():
    assert staging.sandbox_name(None, "Job_1", "agent:x") == "host-local-job-1-agent-x"
    assert staging.sandbox_name("Mine!", "j", "a-") == "mine--j-a"


def test_documents_are_pretty_up_to_a_size():
    assert staging.pretty(b'{"a":1}') == b'{\n  "a": 1\n}'
    large = b"[" + b"1," * 200_000 + b"1]"
    assert staging.pretty(large) is large
