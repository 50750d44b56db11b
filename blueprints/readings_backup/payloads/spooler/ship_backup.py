"""Copy the pack to the remote store, named after its content; fail if that cannot be reached."""

import os
import shutil
import sys
from pathlib import Path

from step import begin, finish


def main():
    made, _ = begin()
    remote = Path(os.environ["MN_RUN_DIR"], made["remote"])
    if not made["remote"] or not remote.is_dir():
        sys.exit("the remote store cannot be reached")
    pack = Path(os.environ["MN_RUN_DIR"], "spool", made["pack"])
    target = remote / f"{made['sha256'][:12]}-{made['pack']}"
    shutil.copyfile(pack, target.with_suffix(".part"))
    target.with_suffix(".part").rename(target)
    finish({"shipped_as": target.name}, "backup_shipped")


main()
