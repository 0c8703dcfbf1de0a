"""Ray, started on this machine or joined, and left: as many slots as it gives, and nothing of ours dies of its end."""

from __future__ import annotations

import gc
import logging
import os
import signal
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import chdir, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

# Read by Ray when it is imported or started: before the import.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
# A loaded machine takes longer than the default 30 s to start a raylet.
os.environ.setdefault("RAY_raylet_start_wait_time_s", "300")
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")
os.environ.setdefault("TUNE_FORCE_TRIAL_CLEANUP_S", "2")
os.environ.setdefault("TUNE_GLOBAL_CHECKPOINT_S", "86400")
os.environ.setdefault("TUNE_MAX_PENDING_TRIALS_PG", "1000000")  # how many wait for a place is decided here
os.environ.setdefault("TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S", "0")
# Trials run in the user's folder, not in one of Tune's.
os.environ["RAY_CHDIR_TO_TRIAL_DIR"] = "0"

import ray
from ray._private import services
from ray._private import utils as ray_process

from ablation.engine.address import Address, AddressError, read_address
from ablation.engine.connecting import other_versions, reach
from ablation.engine.executor import NoStartError
from ablation.engine.placement import avoided, other_studies
from ablation.engine.places import Places
from ablation.machine import usable_cpus
from ablation.resources import Resources
from ablation.user_code import left_for_ours

# Ray's sockets lie below its folder, and a socket's path has 107 bytes, of which Ray's own names take up to 66.
LONGEST_RAY_FOLDER = 40
OBJECT_STORE_BYTES = 256 * 2**20


@contextmanager
def connected(address: str | None, code: Mapping[str, Any] | None = None) -> Iterator[None]:
    """Start Ray on this machine, or join the cluster at an address, unless this process has; leave it at the end.

    ``code`` is the runtime environment that brings it to the nodes. Raises NoStartError.
    """
    started_here = not ray.is_initialized()
    if started_here:
        # "local", not None: that would join whatever cluster this machine last heard of.
        try:
            settings: dict[str, Any] = {"address": "local", **_local_settings()}
            if address is not None:
                settings = {"address": reach(address), "runtime_env": dict(code or {})}
            # A cluster's workers import from the folder in which a driver joins, if they have one of that name, before
            # what the driver sends: from none, so that they run its own code.
            with left_for_ours() if address is None else chdir("/"), _signals_left_to_us():
                ray.init(logging_level=logging.ERROR, log_to_driver=False, configure_logging=True, **settings)
        except AddressError as error:
            raise NoStartError(str(error)) from error
        except Exception as error:
            raise NoStartError(_in_words(error, address)) from error
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # its faults reach the ledger by the hooks
    try:
        yield
    finally:
        if started_here:
            # Collected later, by another thread in the middle of Ray's shutdown, Tune's handles end the process.
            gc.collect()
            ray.shutdown()


def connected_head() -> Address | None:
    """Return where the head of the cluster is that this process has joined; None if it has by ``ray://``."""
    if ray.util.client.ray.is_connected():
        return None
    return read_address(ray.get_runtime_context().gcs_address)


def cluster_gpus(address: str) -> float:
    """Count the GPUs of a running cluster."""
    with connected(address):
        return float(ray.cluster_resources().get("GPU", 0))


def places(resources: Resources) -> Places:
    """Count the trials that the connected Ray can run at once; raises NoStartError if there is no room for one.

    Not if nodes may join.
    """
    is_shared = resources.address is not None
    found = Places(resources, _nodes, *((other_studies,) if is_shared else (tuple, usable_cpus().limit)))
    if found.most < 1:
        raise NoStartError(
            f"a trial asks for {found.slots.cpus:g} CPUs and {found.slots.gpus:g} GPUs, but no node of Ray has both "
            f"({found.slots.limit}); lower --cpus-per-trial or --gpus-per-trial, or say with --max-nodes how many "
            "nodes may join"
        )
    return found


def _nodes() -> list[dict[str, float]]:
    """Return what each node has on which trials may be placed."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"] and node["NodeID"] not in avoided()]


def _in_words(error: Exception, address: str | None) -> str:
    said = other_versions(error, address) if address else None
    first = " ".join(str(error).partition(". ")[0].split())
    return said or f"Ray did not start ({first}); see that the machine has memory and time left"


def _local_settings() -> dict[str, Any]:
    settings: dict[str, Any] = {"include_dashboard": False, "object_store_memory": OBJECT_STORE_BYTES}
    settings["num_cpus"] = usable_cpus().count
    usual = Path(os.environ.get("RAY_TMPDIR") or tempfile.gettempdir()) / "ray"
    if len(os.fsencode(usual)) > LONGEST_RAY_FOLDER:
        settings["_temp_dir"] = "/tmp/ray"
    return settings


@contextmanager
def _signals_left_to_us() -> Iterator[None]:
    """Start Ray such that signals to this process are ours alone, for both of which Ray has no option.

    Its daemons get process groups of their own: one that a signal to ours ends, as a closed terminal's, takes the
    driver with it before tables are written. And Ray does not take SIGTERM, on which it would exit without them; what
    its libraries set beneath Python's handler, which prints a stack of addresses first, is undone.
    """
    daemons: Any = services
    process: Any = ray_process
    popen, set_handler = daemons.ConsolePopen, process.set_sigterm_handler
    daemons.ConsolePopen = partial(popen, process_group=0)
    process.set_sigterm_handler = lambda handler: None
    try:
        yield
    finally:
        daemons.ConsolePopen, process.set_sigterm_handler = popen, set_handler
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGTERM))
