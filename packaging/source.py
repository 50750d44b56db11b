"""A copy of what the wheel is built from, so that nothing is left in the checkout.

`python source.py FOLDER` makes it; `python source.py --key` prints what stands for all of it, and
for what builds.
"""

import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PARTS = ("mnedge", "plugins", "native", "blueprints", "pyproject.toml", "README.md", "LICENSE")
SKIPPED = {"__pycache__"}


def files(parts: tuple[str, ...]) -> list[Path]:
    """Return what git tracks or would track; without git, what lies there."""
    asked = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *parts],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if asked.returncode == 0 and asked.stdout:
        found = [Path(name.decode()) for name in asked.stdout.split(b"\0") if name]
    else:
        found = [
            path.relative_to(ROOT)
            for part in parts
            for path in (ROOT / part, *(ROOT / part).rglob("*"))
            if path.suffix not in {".pyc", ".so", ".o"} and not SKIPPED & set(path.parts)
        ]
    return sorted(path for path in set(found) if (ROOT / path).is_file())


def key() -> str:
    """Return the same as before if nothing was changed."""
    digest = sha256()
    for path in files((*PARTS, "packaging")):
        if path.parts[:2] == ("packaging", "nix"):
            continue  # another way of building
        content = (ROOT / path).read_bytes()
        digest.update(f"{path}:{len(content)}:".encode() + content)
    return digest.hexdigest()


def main(target: Path) -> None:
    """Copy."""
    for path in files(PARTS):
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / path, target / path)


if __name__ == "__main__":
    if sys.argv[1] == "--key":
        print(key())
    else:
        main(Path(sys.argv[1]))
