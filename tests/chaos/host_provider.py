"""A provider for Ray's autoscaler whose machines are network namespaces of this one.

The autoscaler's process on the head imports it; what it may start and stop is in the cluster's configuration.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from threading import Lock
from typing import Any

from ray.autoscaler.node_provider import NodeProvider
from ray.autoscaler.tags import (
    NODE_KIND_HEAD,
    STATUS_UP_TO_DATE,
    TAG_RAY_NODE_KIND,
    TAG_RAY_NODE_NAME,
    TAG_RAY_NODE_STATUS,
    TAG_RAY_USER_NODE_TYPE,
)

from tests.chaos.nodes import NETWORK, Difference, kill_marked, start_node
from tests.chaos.processes import marked

HEAD, WORKER = "head", "worker"
JOURNAL = "journal.txt"


class HostProvider(NodeProvider):
    """Start Ray on hosts that are free, and end it there; a host on which it was killed is free again."""

    def __init__(self, provider_config: dict[str, Any], cluster_name: str) -> None:
        super().__init__(provider_config, cluster_name)
        self._folder = Path(provider_config["folder"])
        self._marks = {f"{NETWORK}.{host}": mark for host, mark in provider_config["marks"].items()}
        self._lock = Lock()
        self._tags: dict[str, dict[str, str]] = {
            f"{NETWORK}.1": {
                TAG_RAY_NODE_KIND: NODE_KIND_HEAD,
                TAG_RAY_USER_NODE_TYPE: HEAD,
                TAG_RAY_NODE_NAME: HEAD,
                TAG_RAY_NODE_STATUS: STATUS_UP_TO_DATE,
            }
        }

    def non_terminated_nodes(self, tag_filters: dict[str, str]) -> list[str]:
        """List the hosts on which Ray runs."""
        with self._lock:
            for node in [node for node in self._tags if node in self._marks and not marked(self._marks[node])]:
                self._forget(node, "lost")
            return [node for node, tags in self._tags.items() if tag_filters.items() <= tags.items()]

    def is_running(self, node_id: str) -> bool:
        """Say whether Ray runs on a host."""
        return node_id in self._tags

    def is_terminated(self, node_id: str) -> bool:
        """Say whether it does not."""
        return node_id not in self._tags

    def node_tags(self, node_id: str) -> dict[str, str]:
        """Return what the autoscaler has noted."""
        return self._tags.get(node_id, {})

    def set_node_tags(self, node_id: str, tags: dict[str, str]) -> None:
        """Note it."""
        self._tags[node_id].update(tags)

    def external_ip(self, node_id: str) -> str:
        """Return a host's address, by which it is known."""
        return node_id

    internal_ip = external_ip

    def create_node(self, node_config: dict[str, Any], tags: dict[str, str], count: int) -> None:
        """Start Ray on so many hosts that are free."""
        for _ in range(count):
            with self._lock:
                node = next(node for node in self._marks if node not in self._tags and not marked(self._marks[node]))
                self._tags[node] = {**tags, TAG_RAY_NODE_STATUS: STATUS_UP_TO_DATE}
                mark, token = self._marks[node], {"RAY_AUTH_TOKEN": os.environ["RAY_AUTH_TOKEN"]}
                start_node(self._folder, int(node.rpartition(".")[2]), mark, Difference(environment=token))
                self._write(node, "is up")

    def terminate_node(self, node_id: str) -> None:
        """End Ray on a host."""
        with self._lock:
            kill_marked(self._marks[node_id])
            self._forget(node_id, "is let go")

    def _forget(self, node: str, why: str) -> None:
        self._tags.pop(node, None)
        self._write(node, why)

    def _write(self, node: str, what: str) -> None:
        with (self._folder / JOURNAL).open("a") as journal:
            print(f"{time.time():.1f} {node} {what}", file=journal)
