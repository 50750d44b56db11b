"""A machine made of files: what its kernel would show below /sys, /dev and /proc."""

import os
import shutil
import subprocess
from pathlib import Path


class Machine:
    """Folders that probes take for a machine's."""

    def __init__(self, folder: Path) -> None:
        self.sys = folder / "sys"
        self.dev = folder / "dev"
        self.proc = folder / "proc"
        for place in (self.sys, self.dev, self.proc):
            place.mkdir(parents=True)

    @property
    def roots(self) -> tuple[str, str]:
        return str(self.sys), str(self.dev)

    def write(self, place: Path, **files: object) -> Path:
        place.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (place / name).write_text(f"{content}\n")
        return place

    def node(self, *below: str) -> None:
        for path in below:
            file = self.dev / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()

    def link(self, place: Path, target: Path) -> None:
        place.parent.mkdir(parents=True, exist_ok=True)
        target.mkdir(parents=True, exist_ok=True)
        place.symlink_to(os.path.relpath(target, place.parent))

    def device(self, bus: str, name: str, driver: str = "", /, **files: object) -> Path:
        """Have hardware on a bus."""
        place = self.write(self.sys / "devices" / bus / name, **files)
        if driver:
            module = self.write(self.sys / "module" / driver, version="1.2.3")
            bound = self.write(self.sys / "bus" / bus / "drivers" / driver)
            if not (bound / "module").exists():
                self.link(bound / "module", module)
            self.link(place / "driver", bound)
        return place

    def of_class(self, kind: str, name: str, device: Path, /, **files: object) -> Path:
        """Have a thing of a class, that is a view of some hardware."""
        place = self.write(device / kind / name, **files)
        self.link(place / "device", device)
        self.link(self.sys / "class" / kind / name, place)
        return place

    def card(self, at: int, address: str, vendor: str, driver: str, /, **files: object) -> Path:
        """Have a graphics card."""
        device = self.device("pci0000:00", address, driver, vendor=vendor, **files)
        card = self.of_class("drm", f"card{at}", device)
        self.of_class("drm", f"renderD{128 + at}", device)
        self.link(self.sys / "class/drm" / f"card{at}-HDMI-A-1", card)
        self.node(f"dri/card{at}", f"dri/renderD{128 + at}")
        return card

    def usb(self, port: str, at: int, vendor: str, product: str, /, **files: object) -> Path:
        """Plug something into a socket of USB."""
        place = self.write(
            self.sys / "devices/pci0000:00/usb1" / port,
            idVendor=vendor,
            idProduct=product,
            busnum=1,
            devnum=at,
            bDeviceClass="00",
            **files,
        )
        self.link(self.sys / "bus/usb/devices" / port, place)
        self.node(f"bus/usb/001/{at:03}")
        return place

    def camera(self, at: int, usb: Path, name: str = "A camera", index: int = 0) -> None:
        """Have a node that gives pictures."""
        interface = self.write(usb / f"{usb.name}:1.0")
        self.of_class("video4linux", f"video{at}", interface, name=name, index=index)
        self.node(f"video{at}")

    def named(self, link: str, node: str) -> None:
        """Give a node a stable name, as udev does."""
        place = self.dev / link
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(os.path.relpath(self.dev / node, place.parent))

    def gone(self, *places: Path) -> None:
        for place in places:
            if place.is_symlink() or place.is_file():
                place.unlink()
            else:
                shutil.rmtree(place)


NVML = r"""
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
/* NVML as a file tells of it: `init CODE`, `hang`, or `UUID|NAME|TOTAL|FREE|MINOR|MIG` a line;
   LOST as the name is a GPU that does not answer any more, -1 as TOTAL one without a figure. */
#define MOST 16
struct gpu { char uuid[96], name[96]; long long total, freed; int minor, mig; };
static struct gpu gpus[MOST];
static unsigned count;
static int opened;
typedef struct gpu *handle;
int nvmlInit_v2(void) {
    const char *path = getenv("FAKE_NVML");
    FILE *file = path ? fopen(path, "r") : NULL;
    char line[512];
    int code = 0;
    count = 0;
    if (!file) return 9;
    while (fgets(line, sizeof line, file)) {
        struct gpu *g = &gpus[count];
        if (sscanf(line, "init %d", &code) == 1) break;
        if (!strncmp(line, "hang", 4)) for (;;) pause();
        if (count < MOST && sscanf(line, "%95[^|]|%95[^|]|%lld|%lld|%d|%d", g->uuid, g->name,
                                   &g->total, &g->freed, &g->minor, &g->mig) == 6) count++;
    }
    fclose(file);
    if (!code) opened++;
    return code;
}
int nvmlShutdown(void) { opened--; return 0; }
int fake_opened(void) { return opened; }
const char *nvmlErrorString(int code) {
    return code == 18 ? "Driver/library version mismatch" : "Unknown Error";
}
int nvmlSystemGetDriverVersion(char *to, unsigned n) { snprintf(to, n, "550.54.15"); return 0; }
int nvmlSystemGetCudaDriverVersion_v2(int *to) { *to = 12040; return 0; }
int nvmlDeviceGetCount_v2(unsigned *to) { *to = count; return opened > 0 ? 0 : 1; }
int nvmlDeviceGetHandleByIndex_v2(unsigned at, handle *to) {
    if (at >= count) return 2;
    if (!strcmp(gpus[at].name, "LOST")) return 15;
    *to = &gpus[at];
    return 0;
}
int nvmlDeviceGetUUID(handle g, char *to, unsigned n) { snprintf(to, n, "%s", g->uuid); return 0; }
int nvmlDeviceGetName(handle g, char *to, unsigned n) { snprintf(to, n, "%s", g->name); return 0; }
int nvmlDeviceGetMinorNumber(handle g, unsigned *to) { *to = g->minor; return 0; }
int nvmlDeviceGetCudaComputeCapability(handle g, int *a, int *b) { *a = 9; *b = 0; return 0; }
int nvmlDeviceGetMigMode(handle g, unsigned *now, unsigned *later) {
    if (g->mig < 0) return 3;
    *now = *later = g->mig;
    return 0;
}
struct memory { unsigned long long total, freed, used; };
int nvmlDeviceGetMemoryInfo(handle g, struct memory *to) {
    if (g->total < 0) return 3;
    to->total = g->total; to->freed = g->freed; to->used = g->total - g->freed;
    return 0;
}
"""


def built_nvml(folder: Path) -> Path:
    """Return a folder with a library by NVML's name in it."""
    folder.mkdir(parents=True, exist_ok=True)
    source, library = folder / "nvml.c", folder / "libnvidia-ml.so.1"
    if library.exists():
        return folder
    source.write_text(NVML)
    compiler = shutil.which("gcc") or shutil.which("cc") or "gcc"
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(source)], check=True
    )
    return folder


def gpu_line(at: int, name: str = "NVIDIA H100 80GB HBM3", **more: int) -> str:
    """Return a line by which the library of `built_nvml` has a GPU."""
    said = {"total": 80 << 30, "free": 70 << 30, "minor": at, "mig": 0, **more}
    figures = "|".join(str(said[key]) for key in ("total", "free", "minor", "mig"))
    return f"GPU-00000000-0000-0000-0000-00000000000{at}|{name}|{figures}\n"
