"""An agent may ask for devices in several places and words; what cannot be read is named."""

import pytest

from mnedge.model.device_asks import asks_of
from mnedge.model.resources import DeviceAsk


@pytest.mark.parametrize(
    "resources,config,asks",
    [
        ({}, {}, []),
        ({"gpu_count": 0}, {"gpu": False}, []),
        ({"gpu_count": 2}, {}, [DeviceAsk(kind="gpu", count=2)]),
        ({}, {"gpus": "1"}, [DeviceAsk(kind="gpu")]),
        ({}, {"gpu": True}, [DeviceAsk(kind="gpu")]),
        ({}, {"resources": {"gpu": 1.0}}, [DeviceAsk(kind="gpu")]),
        ({"nvidia.com/gpu": 2}, {}, [DeviceAsk(kind="gpu", vendor="nvidia", count=2)]),
        ({"nvidia.com/gpu": 1, "gpus": 1}, {}, [DeviceAsk(kind="gpu", vendor="nvidia")]),
        ({}, {"execution_profile": "customer-service-voice-nvidia"}, [DeviceAsk(kind="gpu")]),
        ({}, {"profile": "standard_run_store"}, []),
        ({"gpu_count": 0}, {"profile": "gpu"}, []),
        ({}, {"devices": ["a sensor of its own"], "gpu": "as the agent likes", "gpus": None}, []),
        (
            {"gpu_count": 1, "devices": [{"kind": "gpu", "type": "nvidia/gpu", "driver": "cuda"}]},
            {"gpu_count": 1, "execution_profile": "nvidia-accelerated-voice"},
            [DeviceAsk(kind="gpu", type="nvidia/gpu", driver="cuda")],
        ),
        (
            {"gpu_count": 2, "devices": [{"kind": "gpu", "min_memory_mb": 24_000}]},
            {},
            [DeviceAsk(kind="gpu", min_memory_mb=24_000), DeviceAsk(kind="gpu")],
        ),
        (
            {},
            {
                "resources": {
                    "devices": [
                        {
                            "type": "camera",
                            "capabilities": ["capture"],
                            "ids": ["a"],
                            "count": 2,
                            "memory_operator": "=",
                            "min_api_version": 2,
                        }
                    ]
                }
            },
            [
                DeviceAsk(
                    type="camera",
                    capabilities=("capture",),
                    ids=("a",),
                    count=2,
                    memory_operator="==",
                    min_api_version="2",
                )
            ],
        ),
    ],
)
def test_what_an_agent_asks_for_is_read_wherever_it_says_so(resources, config, asks):
    assert list(asks_of(resources, config)) == asks


@pytest.mark.parametrize(
    "resources,where",
    [
        ({"gpu_count": -1}, "resources.gpu_count is -1"),
        ({"gpu_count": "many"}, "resources.gpu_count is 'many'"),
        ({"nvidia.com/gpu": 1.5}, "resources.nvidia.com/gpu"),
        ({"devices": {}}, "resources.devices is no list"),
        ({"devices": ["gpu"]}, r"resources.devices\[0\] is no object"),
        ({"devices": [{}]}, r"resources.devices\[0\] names no kind"),
        ({"devices": [{"kind": "gpu", "count": 0}]}, "count is 0"),
        ({"devices": [{"kind": "gpu", "memory_operator": "<"}]}, "memory_operator is '<'"),
        ({"devices": [{"kind": "gpu", "min_memory_mb": "8"}]}, "min_memory_mb is '8'"),
        ({"devices": [{"kind": ["gpu"]}]}, "kind is"),
        ({"devices": [{"kind": "gpu", "ids": "a"}]}, "ids is no list"),
    ],
)
def test_an_ask_that_cannot_be_read_is_named(resources, where):
    with pytest.raises(ValueError, match=where):
        asks_of(resources, {})
