"""Every device probe against the contract of its port, on machines made of files."""

import pytest

from mnedge.testing.device_contract import DeviceContract
from mnedge_devices import amd, audio, camera, cpu, gpio, i2c, intel, npu, nvidia, serial, usb
from tests.plugins.mnedge_devices.machine import Machine, built_nvml, gpu_line


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path / "machine")


@pytest.fixture
def nowhere(tmp_path):
    return Machine(tmp_path / "bare")


class OnFiles(DeviceContract):
    """`plugin`: the module; `built(machine)`: has two devices; `taken(machine)`: what the second
    one's files are, and its id."""

    plugin = None

    @pytest.fixture
    def probe(self, machine):
        self.built(machine)
        return made(self.plugin, machine)

    @pytest.fixture
    def bare(self, nowhere):
        return made(self.plugin, nowhere)

    @pytest.fixture
    def unplugged(self, machine):
        def take():
            own, *places = self.taken(machine)
            machine.gone(*places)
            return own

        return take

    @pytest.fixture
    def damaged(self, machine):
        def spoil():
            files = [file for file in machine.sys.rglob("*") if file.is_file()]
            assert files
            for at, file in enumerate(files):
                if at % 2:
                    file.write_bytes(b"\xff\x00 no sense \n" * 400)
                else:
                    file.unlink()
                    file.mkdir()

        return spoil


def made(plugin, machine):
    given = dict(zip(("sys_root", "dev_root"), machine.roots, strict=True))
    names = plugin.devices.__code__.co_varnames[: plugin.devices.__code__.co_argcount]
    (probe,) = plugin.devices(**{name: given[name] for name in names})
    return probe


class TestAmd(OnFiles):
    plugin = amd

    def built(self, machine):
        for at in (0, 1):
            machine.card(
                at,
                f"0000:0{at + 3}:00.0",
                "0x1002",
                "amdgpu",
                mem_info_vram_total=16 << 30,
                mem_info_vram_used=1 << 30,
                unique_id=f"{at + 1:016x}",
            )

    def taken(self, machine):
        return "GPU-0000000000000002", machine.sys / "class/drm/card1"


class TestIntel(OnFiles):
    plugin = intel

    def built(self, machine):
        machine.card(0, "0000:00:02.0", "0x8086", "i915")
        machine.card(1, "0000:03:00.0", "0x8086", "xe")

    def taken(self, machine):
        return "0000:03:00.0", machine.sys / "class/drm/card1"


class TestNvidia(DeviceContract):
    @pytest.fixture
    def library(self, tmp_path_factory):
        return str(built_nvml(tmp_path_factory.getbasetemp() / "nvml") / "libnvidia-ml.so.1")

    @pytest.fixture
    def told(self, tmp_path, monkeypatch):
        told = tmp_path / "gpus"
        told.write_text(gpu_line(0) + gpu_line(1, "NVIDIA GB10", total=-1))
        monkeypatch.setenv("FAKE_NVML", str(told))
        return told

    @pytest.fixture
    def probe(self, machine, library, told):
        machine.write(machine.proc, meminfo="MemTotal: 1024 kB\nMemAvailable: 512 kB")
        return nvidia.Nvidia(*machine.roots, libraries=["/no/such/library", library])

    @pytest.fixture
    def bare(self, nowhere):
        return nvidia.Nvidia(*nowhere.roots, libraries=["/no/such/library"])

    @pytest.fixture
    def unplugged(self, told):
        def take():
            told.write_text(gpu_line(0) + gpu_line(1, "LOST"))
            return "GPU-00000000-0000-0000-0000-000000000001"

        return take

    @pytest.fixture
    def damaged(self, told):
        return lambda: told.write_text("init 18\n")


class TestCpu(OnFiles):
    plugin = cpu

    def built(self, machine):
        blocks = [
            f"processor\t: {at}\nvendor_id\t: GenuineIntel\nmodel name\t: Xeon\n"
            f"physical id\t: {at // 2}\nflags\t\t: fpu avx2 avx512_vnni vmx\n\n"
            for at in range(4)
        ]
        (machine.proc / "cpuinfo").write_text("".join(blocks))
        for at in (0, 1):
            machine.write(machine.sys / f"devices/system/node/node{at}", cpulist="0-1")

    @pytest.fixture
    def unplugged(self, machine):
        def take():
            text = (machine.proc / "cpuinfo").read_text()
            (machine.proc / "cpuinfo").write_text(text[: len(text) // 2])
            return "cpu-1"

        return take


class TestCamera(OnFiles):
    plugin = camera

    def built(self, machine):
        for at, port in ((0, "1-1"), (2, "1-2")):
            plugged = machine.usb(port, at + 2, "046D", "0825")
            machine.camera(at, plugged)
            machine.camera(at + 1, plugged, index=1)
        machine.named("v4l/by-id/usb-046d_0825_1234-video-index0", "video0")

    def taken(self, machine):
        return "video2", *(machine.sys / f"class/video4linux/video{at}" for at in (2, 3))


class TestSerial(OnFiles):
    plugin = serial

    def built(self, machine):
        for at in (0, 1):
            port = machine.usb(f"1-{at + 1}", at + 2, "0403", "6001", product="FT232R")
            machine.of_class("tty", f"ttyUSB{at}", machine.write(port / f"1-{at + 1}:1.0"))
            machine.node(f"ttyUSB{at}")
        machine.named("serial/by-id/usb-FTDI_FT232R_A1-if00-port0", "ttyUSB0")
        machine.write(machine.sys / "class/tty/tty0")
        machine.of_class("tty", "ttyS3", machine.device("platform", "serial8250"), type=0)

    def taken(self, machine):
        return "ttyUSB1", machine.sys / "class/tty/ttyUSB1"


class TestGpio(OnFiles):
    plugin = gpio

    def built(self, machine):
        for at, name in enumerate(("fe200000.gpio", "raspberrypi-gpio")):
            chip = machine.write(machine.device("platform", name) / f"gpiochip{at}")
            machine.write(chip, uevent="x")
            machine.link(machine.sys / f"bus/gpio/devices/gpiochip{at}", chip)
            machine.node(f"gpiochip{at}")

    def taken(self, machine):
        return "gpio-raspberrypi-gpio", machine.sys / "bus/gpio/devices/gpiochip1"


class TestI2c(OnFiles):
    plugin = i2c

    def built(self, machine):
        for at, name in ((0, "fe804000.i2c"), (10, "fe205000.i2c")):
            bus = machine.write(machine.device("platform", name) / f"i2c-{at}", name="bcm2835")
            machine.link(machine.sys / f"bus/i2c/devices/i2c-{at}", bus)
            machine.node(f"i2c-{at}")
        machine.write(machine.sys / "bus/i2c/devices/i2c-SENSOR")

    def taken(self, machine):
        return "i2c-fe205000.i2c", machine.dev / "i2c-10"


class TestUsb(OnFiles):
    plugin = usb

    def built(self, machine):
        machine.usb("1-1", 2, "046d", "0825", serial="A1", product="Webcam")
        machine.usb("1-2", 3, "046d", "0825", serial="A1")
        hub = machine.usb("1-3", 4, "1d6b", "0002")
        (hub / "bDeviceClass").write_text("09\n")

    def taken(self, machine):
        return "usb-046d:0825-A1#2", machine.sys / "bus/usb/devices/1-2"


class TestAudio(OnFiles):
    plugin = audio

    def built(self, machine):
        for at, own in ((0, "PCH"), (1, "Webcam")):
            device = machine.device("pci0000:00", f"0000:00:1f.{at}", "snd")
            machine.of_class("sound", f"card{at}", device, id=own, number=at)
            machine.node(f"snd/controlC{at}")
        machine.write(machine.sys / "class/sound/pcmC0D0p")
        machine.write(machine.sys / "class/sound/pcmC1D0c")

    def taken(self, machine):
        return "audio-Webcam", machine.sys / "class/sound/card1"


class TestNpu(OnFiles):
    plugin = npu

    def built(self, machine):
        for at, vendor in enumerate(("0x8086", "0x1022")):
            device = machine.device("pci0000:00", f"0000:00:0b.{at}", "vpu", vendor=vendor)
            machine.of_class("accel", f"accel{at}", device)
            machine.node(f"accel/accel{at}")

    def taken(self, machine):
        return "npu-0000:00:0b.1", machine.sys / "class/accel/accel1"
