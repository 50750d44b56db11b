"""A small `mn_sdk` in a folder."""

import subprocess
import sys

from mnedge.bundle.source.stand_in import PACKAGE, contents, laid_out


def test_it_is_a_package_of_step_words_and_the_step_runtime(tmp_path):
    assert laid_out(tmp_path / "sdk") == tmp_path / "sdk"
    package = tmp_path / "sdk" / PACKAGE
    assert {file.name for file in package.iterdir()} == set(contents())
    told = subprocess.run(
        [
            *(sys.executable, "-I", "-S", "-c"),
            "import sys; sys.path.insert(0, sys.argv[1])\n"
            "import mn_sdk, mn_sdk.step_graph, mn_sdk.step_runtime\n"
            "print(mn_sdk.__version__, sorted(m for m in sys.modules if m.startswith('mnedge')))",
            str(tmp_path / "sdk"),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout == "0+mnedge []\n"


def test_it_can_be_laid_out_again(tmp_path):
    laid_out(tmp_path)
    (tmp_path / PACKAGE / "step_graph.py").write_text("broken(")
    laid_out(tmp_path)
    assert (tmp_path / PACKAGE / "step_graph.py").read_bytes() == contents()["step_graph.py"]
