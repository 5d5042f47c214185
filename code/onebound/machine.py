"""What machine this is, as far as it matters to how long something takes."""

import os
import platform
import re
from pathlib import Path


def machine() -> dict[str, str | int | None]:
    """Return processor (but on Linux only its kind), usable cores, memory in gigabytes, system."""
    told = Path("/proc/cpuinfo")
    found = re.search(r"^model name\s*:\s*(.+)$", told.read_text(), re.M) if told.exists() else None
    try:
        gigabytes = round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30)
    except (AttributeError, ValueError, OSError):
        gigabytes = None
    return {
        "processor": found[1] if found else platform.processor() or platform.machine(),
        "cores": cores(),
        "gigabytes": gigabytes,
        "system": f"{platform.system()} on {platform.machine()}",
    }


def cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
