"""`mnedge resource` without a daemon: the command looks itself."""

import json


def gpus(count):
    return json.dumps({"devices": [{"id": f"GPU-{at}x", "name": "H100"} for at in range(count)]})


def test_what_the_machine_has_is_shown(mnedge):
    assert mnedge("resource", "list", "--json").value["totals"]["cpu_cores"] >= 1
    assert "memory" in mnedge("resource", "list").out


def test_devices_are_listed_with_what_is_known_of_them(mnedge, monkeypatch):
    monkeypatch.setenv("MN_NODE_HARDWARE_JSON", gpus(2))
    told = mnedge("resource", "list", "--json").value
    assert [one["id"] for one in told["devices"]] == ["GPU-0x", "GPU-1x"]
    assert told["totals"]["gpu_count"] == 2
    assert "gpu" in told["capabilities"]
    assert "nvidia" in {one["name"] for one in told["probes"]}
    out = mnedge("resource", "list").out
    assert "GPU-1x" in out
    assert "free" in out


def test_one_device_is_shown_by_how_its_id_begins(mnedge, monkeypatch):
    monkeypatch.setenv("MN_NODE_HARDWARE_JSON", gpus(2))
    assert mnedge("resource", "show", "gpu-1", "--json").value["id"] == "GPU-1x"
    assert "H100" in mnedge("resource", "show", "GPU-0x").out


def test_a_device_that_is_not_there_and_one_that_may_be_two_are_refused(mnedge, monkeypatch):
    monkeypatch.setenv("MN_NODE_HARDWARE_JSON", gpus(2))
    assert "2 devices have ids" in mnedge("resource", "show", "gpu-", code=2).err
    assert "no device has an id" in mnedge("resource", "show", "cam", code=2).err
