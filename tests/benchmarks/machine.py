"""What a result was measured on."""

from __future__ import annotations

import os
import platform
import re
from dataclasses import dataclass
from pathlib import Path

from recipes.core.cores import usable_cores


@dataclass(frozen=True)
class Machine:
    """`load` is the average of the last minute, taken before the measurement: other work spoils figures."""

    cpu: str
    cores: int
    memory_gb: float
    kernel: str
    load: float


def this_machine() -> Machine:
    return Machine(
        cpu=cpu_model(),
        cores=usable_cores(),
        memory_gb=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9,
        kernel=f"{platform.system()} {platform.release()}",
        load=os.getloadavg()[0],
    )


def cpu_model() -> str:
    """Return the processor's name with family and model, as a virtual machine may hide the first."""
    path = Path("/proc/cpuinfo")
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    keys = ("model name", "cpu family", "model")
    found = {key: re.search(rf"^{key}\s*: (.+)$", text, re.MULTILINE) for key in keys}
    name, family, model = found.values()
    if name is None:
        return platform.processor() or platform.machine()
    return (
        f"{name[1].strip()} (family {family[1]}, model {model[1]})" if family and model else name[1].strip()
    )
