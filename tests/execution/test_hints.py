import json

from mnedge.execution.hints import device_variables, shown
from mnedge.model.resources import Device

GPU = Device(id="GPU-1", kind="gpu", vendor="nvidia", driver="cuda", index=3, memory_total_mb=8)
CAMERAS = [Device(id=f"cam{at}", kind="camera", path=f"/dev/video{at}") for at in (0, 2)]
CODER = Device(id="c", kind="video-coder", path="/dev/coder")


def test_who_was_lent_nothing_is_told_only_what_the_makers_libraries_read():
    assert device_variables((), {"CUDA_VISIBLE_DEVICES": ""}) == {"CUDA_VISIBLE_DEVICES": ""}


def test_what_was_lent_is_named_in_every_way_that_workers_read():
    lent = [*CAMERAS, GPU, CODER]
    told = device_variables(lent, {"CUDA_VISIBLE_DEVICES": "GPU-1"}, node="edge")
    assert told["CUDA_VISIBLE_DEVICES"] == "GPU-1"
    assert told["MN_ALLOCATED_DEVICE_IDS"] == "cam0,cam2,GPU-1,c"
    assert told["MN_GPU_DRIVER"] == "cuda"
    assert told["MNEDGE_DEVICE_CAMERA_PATHS"] == "/dev/video0:/dev/video2"
    assert told["MNEDGE_DEVICE_VIDEO_CODER_PATHS"] == "/dev/coder"
    assert "MNEDGE_DEVICE_GPU_PATHS" not in told
    assert json.loads(told["MNEDGE_DEVICES"])[2]["driver"] == "cuda"
    allocation = json.loads(told["MN_ALLOCATION_JSON"])
    assert allocation["node_name"] == "edge"
    assert allocation["devices"][2] == shown(GPU)


def test_without_a_gpu_there_is_no_driver_of_one():
    assert "MN_GPU_DRIVER" not in device_variables(CAMERAS, {})
