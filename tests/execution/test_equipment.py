import pytest

from mnedge.execution.equipment import number_in


@pytest.mark.parametrize(
    "environ,number",
    [
        ({"MN_X": "5"}, 5),
        ({"MN_X": " -5 "}, -5),
        ({"MIRROR_NEURON_X": "6"}, 6),
        ({"MN_X": "5", "MIRROR_NEURON_X": "6"}, 5),
        ({"MN_X": "many", "MIRROR_NEURON_X": "6"}, 6),
        ({"MN_X": ""}, None),
        ({"MN_X": "1.5"}, None),
        ({"MN_X": "--5"}, None),
        ({"MN_X": "\u0665"}, None),
        ({}, None),
    ],
)
def test_a_setting_is_a_whole_number_under_either_prefix(environ, number):
    assert number_in(environ, "X") == number


def test_an_executor_shares_its_equipment(bench):
    node = bench(environ={"MN_MAX_ARTIFACT_BYTES": "77"})
    assert node.executor.equipment.setting("MAX_ARTIFACT_BYTES") == 77
    assert node.executor.equipment.spawner is node.processes
