"""Parse, dispatch, exit code: the only place of the command line where errors become words.

`--version` answers before anything is imported; `--help` costs click alone.
"""

import gc
import sys
from collections.abc import Sequence

import mnedge

PROGRAM = "mnedge"
VERSION_FLAGS = (["--version"], ["-V"])
GARBAGE = 50_000
"""So many objects are made before garbage is looked for: what imports make is none."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    0 good, 1 failed, 2 the request is wrong, 13 not allowed, 130 interrupted. Whatever goes wrong
    becomes a few readable lines on stderr, or one JSON object if JSON was asked for; the traceback
    of what nobody expected goes to a file under the data directory.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments in VERSION_FLAGS:
        sys.stdout.write(f"{PROGRAM} {mnedge.__version__}\n")
        return 0
    gc.set_threshold(GARBAGE)
    try:
        return _dispatch(arguments)
    except BaseException as error:
        from mnedge.cli import failure

        return failure.report(error, arguments)


def _dispatch(arguments: list[str]) -> int:
    from mnedge.cli.root import root

    answer = root.main(arguments, prog_name=PROGRAM, standalone_mode=False)
    sys.stdout.flush()
    return answer if isinstance(answer, int) else 0
