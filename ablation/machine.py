"""What a machine's floating point may depend on: its processor, and the libraries that choose kernels by it."""

from __future__ import annotations

import math
import os
import platform
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BOOT = Path("/proc/sys/kernel/random/boot_id")
CPU_INFO = Path("/proc/cpuinfo")
CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUPS = Path("/proc/self/cgroup")
# The instruction sets by which torch, oneDNN and MKL choose their kernels; neon and sve are Arm's.
KERNEL_FLAGS = ("sse4_1", "avx", "avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "asimd", "sve")
# What a user can set to make them choose others.
KERNEL_VARIABLES = (
    "ATEN_CPU_CAPABILITY",
    "ONEDNN_MAX_CPU_ISA",
    "DNNL_MAX_CPU_ISA",
    "MKL_CBWR",
    "MKL_ENABLE_INSTRUCTIONS",
)


@dataclass(frozen=True)
class UsableCpus:
    """How many CPUs this process may use, and what keeps it from more; "" if these are all of the machine's."""

    count: int
    limit: str


def usable_cpus() -> UsableCpus:
    """Count the CPUs that this process may use: those that it is bound to, within what its control groups allow."""
    there = os.cpu_count() or 1
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else there
    quota = min(_cpu_quotas(), default=math.inf)
    if quota < bound:
        return UsableCpus(max(1, math.floor(quota)), f"a control group limits this process to {quota:g} CPUs")
    return UsableCpus(bound, f"this process is bound to {bound} of {there} CPUs" if bound < there else "")


def started(process: int) -> str | None:
    """Return what distinguishes a process from a later one of its number: when it began, in the machine's own ticks.

    None if there is no such process, or the system does not say.
    """
    try:
        # Behind the name, which may hold blanks and brackets; the start is the 22nd field.
        ticks = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[19]
        return f"{BOOT.read_text().strip()}/{ticks}"
    except (OSError, IndexError):
        return None


def hardware() -> dict[str, Any]:
    """Return the processor's name, number of cores and kernel flags, and the variables that limit their use."""
    model, flags = _processor()
    return {
        "cpus": os.cpu_count(),
        "machine": platform.machine(),
        "system": platform.system(),
        "cpu": model,
        "cpu_flags": " ".join(name for name in KERNEL_FLAGS if name in flags),
        "kernel_limits": " ".join(f"{name}={os.environ[name]}" for name in KERNEL_VARIABLES if name in os.environ),
    }


def onednn_version() -> str | None:
    """Return the version of the oneDNN inside torch; None if this process has not imported torch."""
    torch = sys.modules.get("torch")
    if torch is None:
        return None
    reported = re.search(r"(?:MKL-DNN|oneDNN) v(\S+)", torch.__config__.show())
    return reported[1] if reported else None


def _cpu_quotas() -> Iterator[float]:
    """Yield the CPU quota of each control group that this process is in, outer ones included, of versions 1 and 2."""
    lines = OWN_CGROUPS.read_text().splitlines() if OWN_CGROUPS.is_file() else []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        mount = CGROUPS / controllers if controllers else CGROUPS
        # In a container the path may be the host's, and its own group is the root of what is mounted.
        inner = mount / path.lstrip("/")
        for folder in dict.fromkeys((inner, *inner.parents, mount)):
            if folder.is_relative_to(mount):
                yield from _quota(folder)


def _quota(group: Path) -> Iterator[float]:
    with suppress(OSError, ValueError):  # no limit is "max" in version 2 and -1 in version 1, or no file
        if (group / "cpu.max").is_file():
            quota, period = (group / "cpu.max").read_text().split()
        else:
            quota = (group / "cpu.cfs_quota_us").read_text()
            period = (group / "cpu.cfs_period_us").read_text()
        if int(quota) > 0:
            yield int(quota) / int(period)


def _processor() -> tuple[str, set[str]]:
    """Return the first processor's name and flags; x86 and Arm name the line of flags differently."""
    text = CPU_INFO.read_text(errors="replace") if CPU_INFO.is_file() else ""
    lines: dict[str, str] = dict(
        re.findall(r"^([^\t\n:]+?)\s*:\s*(.*)$", text.partition("\n\n")[0], flags=re.MULTILINE)
    )
    flags = lines.get("flags") or lines.get("Features") or ""
    return lines.get("model name") or platform.processor() or "unknown", set(flags.split())
