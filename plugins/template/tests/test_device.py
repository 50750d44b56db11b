"""The probe against the contract of all probes, on a machine made of files."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from mnedge.ports import DeviceProbe
from mnedge.testing.device_contract import DeviceContract
from mnedge_template.device import Sensors


def plug_in(sys_root: Path, number: int, name: str, place: str) -> None:
    chip = sys_root / "class" / "hwmon" / f"hwmon{number}"
    chip.mkdir(parents=True)
    (chip / "name").write_text(f"{name}\n")
    (chip / "temp1_input").write_text("42000\n")
    (sys_root / "devices" / place).mkdir(parents=True)
    (chip / "device").symlink_to(sys_root / "devices" / place)


class TestSensors(DeviceContract):
    @pytest.fixture
    def sys_root(self, tmp_path: Path) -> Path:
        plug_in(tmp_path, 0, "nvme", "0000:01:00.0")
        plug_in(tmp_path, 1, "k10temp", "0000:00:18.3")
        return tmp_path

    @pytest.fixture
    def probe(self, sys_root: Path) -> DeviceProbe:
        return Sensors(str(sys_root))

    @pytest.fixture
    def bare(self, tmp_path: Path) -> DeviceProbe:
        return Sensors(str(tmp_path / "nothing"))

    @pytest.fixture
    def unplugged(self, sys_root: Path) -> Callable[[], str]:
        def unplug() -> str:
            shutil.rmtree(sys_root / "class" / "hwmon" / "hwmon0")
            return "nvme@0000:01:00.0"

        return unplug

    @pytest.fixture
    def damaged(self, sys_root: Path) -> Callable[[], None]:
        def damage() -> None:
            (sys_root / "class" / "hwmon" / "hwmon0" / "temp1_input").write_text("hot")
            (sys_root / "class" / "hwmon" / "hwmon1" / "name").write_bytes(b"\xff\xfe")

        return damage

    def test_a_worker_is_told_where_to_read(self, probe: DeviceProbe) -> None:
        (first, _) = probe.probe().devices
        assert probe.environment([first]) == {"SENSOR_PATHS": first.path}
