"""The machine's share in the numbers: what is recorded of it, and that no kernel it chooses is wrong."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ablation import machine
from ablation.engine.slots import fitting_slots
from ablation.resources import Resources
from tests.support import convolution_canary

ROOT = Path(__file__).parents[2]
# glibc's allocator, with checks: a write past a block ends the process with a message when the block is freed.
CHECKED_HEAP = {"LD_PRELOAD": "libc_malloc_debug.so.0", "MALLOC_CHECK_": "3"} if sys.platform == "linux" else {}
X86 = """processor\t: 0
model name\t: A Processor
cache size\t: 512 KB
flags\t\t: fpu sse4_1 avx avx2 fma

processor\t: 1
model name\t: Another Processor
flags\t\t: avx512f
"""
ARM = "processor\t: 0\nBogoMIPS\t: 50.00\nFeatures\t: fp asimd sve\n"


@pytest.mark.parametrize("instruction_set", ["AVX2", "DEFAULT"])
def test_every_convolution_of_the_shipped_networks_is_right_and_leaves_the_heap_whole(instruction_set: str) -> None:
    environment = {**os.environ, **CHECKED_HEAP, "ONEDNN_MAX_CPU_ISA": instruction_set, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.support.convolution_canary"]
    compared = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert compared.returncode == 0, compared.stdout + compared.stderr
    assert compared.stdout.endswith(" 0 wrong\n")


def test_the_comparison_finds_a_wrong_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    convolution = torch.nn.Conv2d(4, 8, 3, bias=False)
    maps_BCHW = torch.randn(2, 4, 6, 6, generator=torch.Generator().manual_seed(0))
    assert convolution_canary.deviation(convolution, maps_BCHW) < convolution_canary.RELATIVE_TOLERANCE
    right = convolution_canary._forward_and_gradients

    def scaled_in_float32(module: torch.nn.Conv2d, maps: torch.Tensor) -> tuple[torch.Tensor, ...]:
        factor = 1 if maps.dtype == torch.float64 else 1 + 2 * convolution_canary.RELATIVE_TOLERANCE
        return tuple(factor * tensor for tensor in right(module, maps))

    monkeypatch.setattr(convolution_canary, "_forward_and_gradients", scaled_in_float32)
    assert convolution_canary.deviation(convolution, maps_BCHW) > convolution_canary.RELATIVE_TOLERANCE


@pytest.mark.parametrize(
    ("text", "name", "flags"),
    [(X86, "A Processor", "sse4_1 avx avx2 fma"), (ARM, platform.processor() or "unknown", "asimd sve")],
)
def test_the_first_processor_is_recorded_with_the_flags_that_choose_kernels(
    text: str, name: str, flags: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "CPU_INFO", tmp_path / "cpuinfo")
    (tmp_path / "cpuinfo").write_text(text)
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    found = machine.hardware()
    assert (found["cpu"], found["cpu_flags"]) == (name, flags)
    assert "ONEDNN_MAX_CPU_ISA=AVX2" in found["kernel_limits"]


def test_a_machine_without_such_a_file_is_recorded_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "CPU_INFO", tmp_path / "none")
    assert machine.hardware()["cpu_flags"] == ""


def test_onednn_is_named_where_torch_is_imported_and_torch_is_not_imported_for_it() -> None:
    version = machine.onednn_version()
    assert version is not None and f"v{version} " in torch.__config__.show()
    check = "import sys; from ablation.machine import onednn_version; print(onednn_version(), 'torch' in sys.modules)"
    asked = subprocess.run([sys.executable, "-c", check], cwd=ROOT, capture_output=True, text=True, check=True)
    assert asked.stdout == "None False\n"


@pytest.mark.parametrize(
    ("lines", "files", "usable"),
    [
        ("0::/job\n", {"job/cpu.max": "150000 100000"}, 1),
        ("0::/outer/inner\n", {"outer/cpu.max": "300000 100000", "outer/inner/cpu.max": "max 100000"}, 3),
        ("0::/host/path\n", {"cpu.max": "200000 100000"}, 2),
        (
            "3:cpu,cpuacct:/job\n",
            {"cpu,cpuacct/job/cpu.cfs_quota_us": "400000", "cpu,cpuacct/job/cpu.cfs_period_us": "100000"},
            4,
        ),
        ("3:cpu:/\n2:memory:/\n", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 64),
        ("0::/\n", {"cpu.max": "50000 100000"}, 1),
        ("", {}, 64),
    ],
)
def test_a_control_groups_quota_and_the_affinity_limit_the_cpus(
    lines: str, files: dict[str, str], usable: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text + "\n")
    (tmp_path / "own").write_text(lines)
    monkeypatch.setattr(machine, "CGROUPS", tmp_path)
    monkeypatch.setattr(machine, "OWN_CGROUPS", tmp_path / "own")
    monkeypatch.setattr("os.sched_getaffinity", lambda process: set(range(64)))
    monkeypatch.setattr("os.cpu_count", lambda: 64)
    found = machine.usable_cpus()
    assert found.count == usable
    assert bool(found.limit) == (usable < 64)


def test_a_binding_of_the_process_is_named_as_what_limits_the_cpus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "OWN_CGROUPS", tmp_path / "none")
    monkeypatch.setattr("os.sched_getaffinity", lambda process: {3})
    monkeypatch.setattr("os.cpu_count", lambda: 64)
    assert machine.usable_cpus() == machine.UsableCpus(1, "this process is bound to 1 of 64 CPUs")


@pytest.mark.parametrize(
    ("asked", "cpus", "gpus", "slots"),
    [
        ({}, 4, 0, "4 at a time (CPUs: 4, 1 a trial; bound)"),
        ({"cpus_per_trial": 3}, 4, 0, "1 at a time (CPUs: 4, 3 a trial; bound)"),
        ({}, 64, 2, "8 at a time (GPUs: 2, 0.25 a trial)"),
        ({"gpus_per_trial": 1}, 64, 2, "2 at a time (GPUs: 2, 1 a trial)"),
        ({"max_concurrent": 3}, 64, 2, "3 at a time (--max-concurrent 3)"),
        ({"cpus_per_trial": 8}, 4, 0, "0 at a time (CPUs: 4, 8 a trial; bound)"),
    ],
)
def test_what_allows_no_more_trials_at_a_time_is_said(
    asked: dict[str, float], cpus: int, gpus: int, slots: str
) -> None:
    assert str(fitting_slots(Resources.model_validate(asked), cpus, gpus, "bound")) == slots
