"""The one file unpacks itself once, wherever it can, and then is the program."""

import hashlib
import os
import shlex
import shutil
import signal
import subprocess
import tarfile
from pathlib import Path

import psutil
import pytest

from tests.live.box import until

pytestmark = pytest.mark.live
MOST_BYTES = 25_000_000
ROOT = os.geteuid() == 0
NOBODY = 65534
NAMESPACE = ("unshare", "--mount", *(() if ROOT else ("--map-root-user",)))


def words_of(stub, name):
    """Return what the file says of itself."""
    (line,) = [line for line in stub.splitlines() if line.startswith(f"{name}=")]
    return line.partition("=")[2]


@pytest.fixture(scope="session")
def key(binary):
    with binary.open("rb") as file:
        return words_of(file.read(8192).decode(errors="replace"), "_mnedge_key")


def started(file, *words, **environ):
    """Start the file with nothing but these variables."""
    return subprocess.Popen(
        [file, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={"PATH": os.environ["PATH"], **{name: str(value) for name, value in environ.items()}},
    )


def ran(file, *words, code=0, **environ):
    process = started(file, *words, **environ)
    out, err = process.communicate(timeout=60)
    assert process.returncode == code, out + err
    return out, err


def version(file, **environ):
    out, err = ran(file, "--version", **environ)
    assert out.startswith("mnedge ")
    return err


def inside(place):
    return sorted(path.name for path in place.iterdir())


def namespaced(script, *words, **environ):
    """Run a shell script in a mount namespace of its own, as root there."""
    return ran(*NAMESPACE, "sh", "-euc", script, "sh", *words, **environ)


def test_the_file_is_small_enough(binary):
    assert binary.stat().st_size <= MOST_BYTES


def test_what_is_shipped_beside_it_is_the_same_and_its_sums_are_right(binary, shipped, key):
    (tarball,) = shipped.glob("mnedge-[0-9]*.tar.gz")
    assert binary.read_bytes().endswith(tarball.read_bytes())
    assert hashlib.sha256(tarball.read_bytes()).hexdigest().startswith(key)
    with tarfile.open(tarball) as tar:
        assert {name.partition("/")[0] for name in tar.getnames()} == {"mnedge"}
        assert len({(m.uid, m.gid, m.uname, m.gname, m.mtime) for m in tar}) == 1
    subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"],
        cwd=shipped,
        check=True,
        stdout=subprocess.DEVNULL,
    )


def test_later_starts_use_what_the_first_one_unpacked(binary, key, tmp_path):
    assert version(binary, MNEDGE_RUNTIME_DIR=tmp_path / "new" / "place") == ""
    place = tmp_path / "new" / "place"
    assert inside(place) == [key]
    mark = (place / key / "complete").stat()
    version(binary, MNEDGE_RUNTIME_DIR=place)
    assert (place / key / "complete").stat() == mark


def test_many_first_starts_at_once_all_work_and_leave_one(binary, key, tmp_path):
    starts = [started(binary, "--version", MNEDGE_RUNTIME_DIR=tmp_path) for _ in range(4)]
    said = [(*process.communicate(timeout=60), process.returncode) for process in starts]
    assert {(err, code) for _, err, code in said} == {("", 0)}
    assert inside(tmp_path) == [key]


def test_a_first_start_that_is_killed_is_as_if_it_never_was(binary, key, tmp_path):
    process = started(binary, "--version", MNEDGE_RUNTIME_DIR=tmp_path)
    until(lambda: list(tmp_path.glob(".new-*/*/mnedge/_internal")))
    for child in psutil.Process(process.pid).children(recursive=True):
        child.kill()
    process.kill()
    process.communicate()
    assert not (tmp_path / key).exists()
    version(binary, MNEDGE_RUNTIME_DIR=tmp_path)


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_first_start_that_is_told_to_end_takes_its_files_along(binary, tmp_path, name):
    process = subprocess.Popen(
        [binary, "--version"],
        env={"PATH": os.environ["PATH"], "MNEDGE_RUNTIME_DIR": str(tmp_path)},
        stdout=subprocess.DEVNULL,
        process_group=0,  # as at a terminal: all of it is told
    )
    until(lambda: list(tmp_path.glob(".new-*/*/mnedge/_internal")))
    os.killpg(process.pid, signal.Signals[name])
    assert process.wait(60) != 0
    until(lambda: inside(tmp_path) == [])


def test_what_was_unpacked_and_partly_deleted_is_unpacked_again(binary, key, tmp_path):
    version(binary, MNEDGE_RUNTIME_DIR=tmp_path)
    (tmp_path / key / "complete").unlink()
    shutil.rmtree(tmp_path / key / "mnedge" / "_internal" / "python")
    version(binary, MNEDGE_RUNTIME_DIR=tmp_path)
    assert (tmp_path / key / "mnedge" / "_internal" / "python").is_dir()
    assert inside(tmp_path) == [key]


@pytest.mark.parametrize("fault", ["cut short", "a bit is wrong"])
def test_a_damaged_file_says_so_and_unpacks_nothing(binary, tmp_path, fault):
    content = bytearray(binary.read_bytes())
    if fault == "cut short":
        del content[len(content) // 2 :]
    else:
        content[len(content) // 2] ^= 0x10
    damaged = tmp_path / "mnedge"
    damaged.write_bytes(content)
    damaged.chmod(0o755)
    out, err = ran(damaged, "--version", code=1, MNEDGE_RUNTIME_DIR=tmp_path / "place")
    assert out == ""
    assert err.startswith(f"mnedge: this file is damaged: {damaged}\n")
    assert inside(tmp_path / "place") == []


@pytest.mark.parametrize("size", [0, 40, 2000, 4000])
def test_a_file_of_which_only_the_beginning_came_does_nothing(binary, tmp_path, size):
    damaged = tmp_path / "mnedge"
    damaged.write_bytes(binary.read_bytes()[:size])
    done = subprocess.run(
        ["sh", damaged, "--version"], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert "mnedge " not in done.stdout
    assert done.returncode == (2 if size > 40 else 0)  # of nothing but its first comment: nothing
    assert inside(tmp_path) == ["mnedge"]


def test_a_folder_that_runs_no_programs_is_passed_over_with_a_word(binary, tmp_path):
    _, err = namespaced(
        'mount -t tmpfs -o noexec,mode=0755 tmpfs "$2"; MNEDGE_RUNTIME_DIR=$2 exec "$1" --version',
        *(str(binary), str(tmp_path)),
        HOME=tmp_path.parent,
    )
    assert err.startswith("mnedge: MNEDGE_RUNTIME_DIR is not used:\n")
    assert "noexec" in err


def test_a_full_disk_is_told_and_left_as_it_was(binary, tmp_path):
    out, err = namespaced(
        'mount -t tmpfs -o size=8m,mode=0755 tmpfs "$2"\n'
        'MNEDGE_RUNTIME_DIR=$2 "$1" --version; ls -A "$2" | wc -l',
        *(str(binary), str(tmp_path)),
        HOME=tmp_path.parent,
    )
    assert "No space left" in err
    assert out.splitlines()[1] == "0"


def test_what_is_unpacked_serves_where_nobody_may_write(binary, runtime):
    assert not namespaced(
        'mount --bind "$2" "$2"; mount -o remount,bind,ro "$2"\n'
        'MNEDGE_RUNTIME_DIR=$2 exec "$1" --version',
        *(str(binary), str(runtime)),
    )[1]


def test_without_any_folder_it_says_which_were_tried(binary, tmp_path):
    script = """
    for place in /opt /var/cache /tmp /dev/shm; do
      [ ! -d $place ] || mount -t tmpfs -o ro tmpfs $place
    done
    exec "$1" --version
    """
    file = Path.home() / f".mnedge-test-{os.getpid()}"  # /tmp is empty there
    shutil.copy(binary, file)
    try:
        process = subprocess.run(
            [*NAMESPACE, "sh", "-euc", script, "sh", str(file)],
            env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"},
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        file.unlink()
    assert process.returncode == 1
    assert process.stderr.startswith("mnedge: there is no folder to unpack into; name one with")
    for place in ("/var/cache/mnedge", f"/tmp/mnedge-{os.geteuid()}", "/dev/shm/mnedge-"):
        assert f"\n  {place}" in process.stderr


def test_a_folder_that_others_may_write_to_is_not_trusted(binary, tmp_path):
    place = tmp_path / "place"
    version(binary, MNEDGE_RUNTIME_DIR=place)
    place.chmod(0o777)
    err = version(binary, MNEDGE_RUNTIME_DIR=place, HOME=tmp_path)
    assert "others may write there" in err


@pytest.mark.skipif(not ROOT, reason="only root gives folders to others")
def test_what_somebody_else_unpacked_is_not_run(binary, tmp_path):
    place = tmp_path / "place"
    version(binary, MNEDGE_RUNTIME_DIR=place)
    os.chown(place, NOBODY, NOBODY)
    assert "belongs to somebody else" in version(binary, MNEDGE_RUNTIME_DIR=place, HOME=tmp_path)


@pytest.mark.skipif(not ROOT, reason="only root becomes somebody else")
@pytest.mark.parametrize(
    "shared",
    ["chmod 0777 /mnt/shared", "chmod 1777 /mnt/shared; ln -s ../own /mnt/shared/mnedge-65534"],
    ids=["anybody renames there", "a link"],
)
def test_a_temporary_folder_that_others_can_exchange_is_passed_over(binary, shared):
    script = f"""
    mount -t tmpfs tmpfs /mnt; mount -t tmpfs -o mode=1777 tmpfs /dev/shm
    for place in /opt /var/cache; do mount -t tmpfs -o ro tmpfs $place; done
    mkdir /mnt/shared /mnt/own; chown 65534 /mnt/own; cp "$1" /mnt/mnedge
    {shared}
    TMPDIR=/mnt/shared HOME=/ setpriv --reuid=65534 --regid=65534 --clear-groups \\
      /mnt/mnedge --version
    ls /mnt/shared/mnedge-65534/ 2>/dev/null || true; ls /dev/shm
    """
    out, err = namespaced(script, str(binary))
    assert err == ""
    assert out.splitlines()[1:] == ["mnedge-65534"]


@pytest.mark.skipif(not ROOT, reason="only root becomes somebody else")
def test_what_root_unpacked_serves_everybody(binary):
    script = """
    mount -t tmpfs tmpfs /mnt; mkdir /mnt/runtime; cp "$1" /mnt/mnedge
    export MNEDGE_RUNTIME_DIR=/mnt/runtime
    /mnt/mnedge --version
    exec setpriv --reuid=65534 --regid=65534 --clear-groups /mnt/mnedge --version
    """
    out, err = namespaced(script, str(binary))
    assert err == ""
    assert len(out.splitlines()) == 2


def test_however_it_is_called_it_starts(binary, runtime, tmp_path):
    environ = {"MNEDGE_RUNTIME_DIR": str(runtime), "PATH": os.environ["PATH"]}
    folder = tmp_path / "a b 'c' $d"
    folder.mkdir()
    (folder / "link to it").symlink_to(binary)
    (folder / "mnedge").symlink_to("link to it")
    calls = {
        'exec "./link to it" --version': environ,
        "exec mnedge --version": environ | {"PATH": f"{folder}:{environ['PATH']}"},
        "exec sh mnedge --version": environ,
        'exec "$PWD/mnedge" --version': environ,
        f'mkdir gone; cd gone; rmdir "$PWD"; exec {binary} --version': environ,
    }
    for call, variables in calls.items():
        done = subprocess.run(
            ["sh", "-euc", call], cwd=folder, env=variables, capture_output=True, check=False
        )
        # The shell itself has a word to say in a folder that is gone.
        said = [line for line in done.stderr.splitlines() if b"getcwd" not in line]
        assert (done.returncode, said) == (0, []), call
        assert done.stdout.startswith(b"mnedge "), call


def test_it_is_one_process_that_takes_signals_itself(binary, runtime, tmp_path):
    process = started(
        binary, "daemon", MNEDGE_RUNTIME_DIR=runtime, HOME=tmp_path, MN_HOME=tmp_path / "mn"
    )
    try:
        assert process.stderr is not None
        assert "ready" in process.stderr.readline()
        assert Path(os.readlink(f"/proc/{process.pid}/exe")).is_relative_to(runtime)
        assert psutil.Process(process.pid).parent() == psutil.Process()
    finally:
        process.terminate()
        process.communicate(timeout=30)
    assert process.returncode == 0


def test_arguments_and_exit_codes_pass_unchanged(binary, runtime, tmp_path):
    _, err = ran(
        binary, "job", "show", "a  b\n*", code=2, MNEDGE_RUNTIME_DIR=runtime, HOME=tmp_path
    )
    assert "a  b" in err
    ran(binary, "no-such-noun", code=2, MNEDGE_RUNTIME_DIR=runtime)


def test_a_file_for_another_machine_says_so(binary, tmp_path):
    (tmp_path / "uname").write_text("#!/bin/sh\necho riscv64\n")
    (tmp_path / "uname").chmod(0o755)
    _, err = ran(
        binary,
        "--version",
        code=1,
        MNEDGE_RUNTIME_DIR=tmp_path / "place",
        PATH=f"{tmp_path}:{os.environ['PATH']}",
    )
    assert err.startswith("mnedge: this file is for ")
    assert "riscv64" in err


@pytest.mark.parametrize("missing", ["gzip", "tar", "uname"])
def test_a_program_that_unpacking_takes_is_named_where_it_is_missing(binary, tmp_path, missing):
    tools = tmp_path / "bin"
    tools.mkdir()
    for tool in {"sh", "ls", "mkdir", "mv", "rm", "tail", "tar", "gzip", "uname", "id"} - {missing}:
        (tools / tool).symlink_to(shutil.which(tool))
    place = tmp_path / "place"
    _, err = ran(binary, "--version", code=1, MNEDGE_RUNTIME_DIR=place, PATH=tools)
    assert err.startswith(f"mnedge: {missing} is not on this machine")
    assert "damaged" not in err
    assert not place.exists()


def test_every_page_of_the_manual_with_code_in_it_is_shown_in_colour(
    binary, runtime, key, tmp_path
):
    environ = {"MNEDGE_RUNTIME_DIR": runtime, "HOME": tmp_path, "TERM": "xterm", "PAGER": "cat"}
    manual = runtime / key / "mnedge" / "_internal" / "mnedge" / "docs"
    pages = sorted(page.stem for page in manual.glob("*.md") if "```" in page.read_text())
    assert len(pages) > 3
    call = (
        f"for page in {' '.join(pages)}; do {shlex.quote(str(binary))} docs $page || exit 9; done"
    )
    out, _ = ran("script", "--quiet", "--return", "--command", call, "/dev/null", **environ)
    assert "\x1b[" in out


def test_the_bare_interpreter_is_a_real_one(runtime, key, tmp_path):
    python = runtime / key / "mnedge" / "_internal" / "python" / "bin" / "python3"
    out, _ = ran(python, "-I", "-S", "-c", "import sys; print(sys.prefix, sys.flags.isolated)")
    assert out.split() == [str(python.parent.parent), "1"]
    out, _ = ran(
        python,
        *("-X", "utf8", "-W", "error", "-c"),
        "import bz2, ctypes, curses, decimal, hashlib, lzma, sqlite3, ssl, uuid, zoneinfo\n"
        "print(sqlite3.connect(':memory:').execute('select 1').fetchone(), ssl.OPENSSL_VERSION)",
    )
    assert out.startswith("(1,) OpenSSL ")
    ran(python, "-m", "venv", "--without-pip", tmp_path / "venv")
    out, _ = ran(tmp_path / "venv" / "bin" / "python", "-c", "import json, sys; print(sys.prefix)")
    assert out.strip() == str(tmp_path / "venv")
    loaded = (
        "import _ssl, sys; print([l.split()[-1] for l in open('/proc/self/maps') if '.so' in l])"
    )
    out, _ = ran(python, "-I", "-S", "-c", loaded)
    assert f"{python.parents[2]}/libcrypto" in out
