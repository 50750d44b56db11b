"""The shipped files, from the frozen folder: `python pack.py FOLDER OUT FLAVOUR`.

One archive serves twice: as the plain tarball, and behind the stub in the one file.
"""

import io
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
from hashlib import sha256
from pathlib import Path

import floor
import sign

HERE = Path(__file__).resolve().parent
DEBIAN_NAMES = {"x86_64": "amd64", "aarch64": "arm64"}
EPOCH = int(os.environ["SOURCE_DATE_EPOCH"])
OFFSET_DIGITS = 8
COMPRESSION = 10
"""More of it saves a thousandth."""


def archive(folder: Path) -> bytes:
    """Return the folder as a compressed archive that depends on nothing but its contents."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for path in [folder, *sorted(folder.rglob("*"))]:
            member = tar.gettarinfo(path, str(path.relative_to(folder.parent)))
            member.uid = member.gid = 0
            member.uname = member.gname = "root"
            member.mtime = EPOCH
            executable = member.isdir() or member.issym() or member.mode & 0o100
            member.mode = 0o755 if executable else 0o644
            if member.isfile():
                with path.open("rb") as file:
                    tar.addfile(member, file)
            else:
                tar.addfile(member)
    import deflate  # of the build environment alone

    return bytes(deflate.gzip_compress(content.getvalue(), COMPRESSION))


def one_file(payload: bytes, words: dict[str, str]) -> bytes:
    """Return the stub with the archive behind it."""
    text = (HERE / "stub.sh").read_text(encoding="utf-8")
    words = {**words, "OFFSET": "0" * OFFSET_DIGITS}
    filled = re.sub(r"@([A-Z]+)@", lambda found: words[found[1]], text)
    offset = f"{len(filled.encode()) + 1:0{OFFSET_DIGITS}d}"
    return filled.replace("+" + words["OFFSET"], "+" + offset).encode() + payload


def version() -> str:
    """Return mnedge's own version."""
    text = (HERE.parent / "mnedge" / "__init__.py").read_text(encoding="utf-8")
    found = re.search(r'^__version__ = "([^"]+)"', text, re.MULTILINE)
    if not found:
        raise SystemExit("pack: mnedge/__init__.py names no version")
    return found[1]


def main(folder: Path, out: Path, flavour: str) -> None:
    """Write the one file, the tarball and the Debian package."""
    name = "mnedge" if flavour == "lean" else f"mnedge-{flavour}"
    machine = platform.machine()
    payload = archive(folder)
    words = {
        "VERSION": version(),
        "FLAVOUR": flavour,
        "MACHINE": machine,
        "GLIBC": floor.text(floor.of(folder)),
        "KEY": sha256(payload).hexdigest()[:16],
    }
    file = out / name
    file.write_bytes(one_file(payload, words))
    file.chmod(0o755)
    (out / f"{name}-{words['VERSION']}-linux-{machine}.tar.gz").write_bytes(payload)
    if sign.main([str(file), "--flavour", flavour]) != 0:
        raise SystemExit("pack: what should be signed is not")
    debian = DEBIAN_NAMES.get(machine)
    if debian:
        package(
            file,
            out / f"{name}_{words['VERSION']}_{debian}.deb",
            words | {"DEBIAN": debian, "NAME": name},
        )
    print(f"pack: {file} {file.stat().st_size / 1e6:.1f} MB, glibc >= {words['GLIBC']}")


def package(file: Path, target: Path, words: dict[str, str]) -> None:
    """Write the Debian package around the one file."""
    root = target.with_suffix(".root")
    shutil.rmtree(root, ignore_errors=True)
    place = root / "usr" / "lib" / "mnedge"
    place.mkdir(parents=True)
    shutil.copy(file, place / "mnedge")
    statement = file.with_name(file.name + sign.SUFFIX)
    if statement.exists():  # `mnedge update` asks for it
        shutil.copy(statement, place / f"mnedge{sign.SUFFIX}")
    (root / "usr" / "bin").mkdir()
    (root / "usr" / "bin" / "mnedge").symlink_to("../lib/mnedge/mnedge")
    documents = root / "usr" / "share" / "doc" / "mnedge"
    documents.mkdir(parents=True)
    shutil.copyfile(HERE.parent / "LICENSE", documents / "copyright")
    (root / "DEBIAN").mkdir()
    size = sum(path.stat().st_size for path in root.rglob("*") if path.is_file()) // 1024
    for source in sorted((HERE / "debian").iterdir()):
        text = source.read_text(encoding="utf-8")
        made = root / "DEBIAN" / source.name
        made.write_text(
            re.sub(r"@([A-Z]+)@", lambda found: {**words, "SIZE": str(size)}[found[1]], text),
            encoding="utf-8",
        )
        made.chmod(0o644 if source.name == "control" else 0o755)
    for path in [root, *root.rglob("*")]:
        if not path.is_symlink() and path.parent.name != "DEBIAN":
            path.chmod(0o755 if path.is_dir() or path == place / "mnedge" else 0o644)
        os.utime(path, (EPOCH, EPOCH), follow_symlinks=False)
    subprocess.run(
        # What is inside is compressed already.
        [
            "dpkg-deb",
            "--root-owner-group",
            "--uniform-compression",
            "-Znone",
            "--build",
            root,
            target,
        ],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    shutil.rmtree(root)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
