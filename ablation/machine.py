"""What a machine's floating point may depend on: its processor, and the libraries that choose kernels by it."""

from __future__ import annotations

import os
import platform
import re
import sys
from pathlib import Path
from typing import Any

CPU_INFO = Path("/proc/cpuinfo")
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
    """Return the version of the oneDNN inside torch; None where this process has not imported torch."""
    torch = sys.modules.get("torch")
    if torch is None:
        return None
    told = re.search(r"(?:MKL-DNN|oneDNN) v(\S+)", torch.__config__.show())
    return told[1] if told else None


def _processor() -> tuple[str, set[str]]:
    """Return the first processor's name and flags; x86 and Arm name the line of flags differently."""
    text = CPU_INFO.read_text(errors="replace") if CPU_INFO.is_file() else ""
    lines: dict[str, str] = dict(
        re.findall(r"^([^\t\n:]+?)\s*:\s*(.*)$", text.partition("\n\n")[0], flags=re.MULTILINE)
    )
    flags = lines.get("flags") or lines.get("Features") or ""
    return lines.get("model name") or platform.processor() or "unknown", set(flags.split())
