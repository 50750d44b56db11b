"""What both desks share."""

import pytest

from mnedge.cli.desk import ArtifactUnknownError, chosen_file


def test_a_file_is_meant_by_its_path():
    assert chosen_file("j", "result.json", ["run.json", "result.json"]) == "result.json"
    with pytest.raises(ArtifactUnknownError, match=r"no file '\.\./run\.json'"):
        chosen_file("j", "../run.json", ["run.json"])
