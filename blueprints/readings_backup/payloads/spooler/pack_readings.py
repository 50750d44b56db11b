"""Pack the readings, one JSON line each, into the spool; the same readings give the same bytes."""

import gzip
import hashlib
import json
import os
from pathlib import Path

from step import begin, finish


def main():
    order, _ = begin()
    lines = "".join(json.dumps(pair) + "\n" for pair in order["readings"])
    packed = gzip.compress(lines.encode(), mtime=0)
    place = Path(os.environ["MN_RUN_DIR"], "spool", "readings.ndjson.gz")
    place.with_suffix(".part").write_bytes(packed)
    place.with_suffix(".part").rename(place)
    made = {"pack": place.name, "readings": len(order["readings"]), "remote": order["remote"]}
    finish({**made, "sha256": hashlib.sha256(lines.encode()).hexdigest()}, "readings_packed")


main()
