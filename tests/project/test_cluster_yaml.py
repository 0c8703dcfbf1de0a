"""cluster.yaml, and its twin for machines of one's own: Ray's own schema, and what a study needs of a cluster."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
import yaml

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "cluster.yaml").read_text()
LOCAL = (ROOT / "deploy" / "cluster-local.yaml").read_text()
TEXTS = [pytest.param(TEXT, id="cluster.yaml"), pytest.param(LOCAL, id="cluster-local.yaml")]


@pytest.fixture(scope="module")
def config() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(TEXT)
    return loaded


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    # Found without importing ray, which takes seconds.
    spec = find_spec("ray")
    assert spec is not None and spec.origin is not None
    loaded: dict[str, Any] = json.loads((Path(spec.origin).parent / "autoscaler" / "ray-schema.json").read_text())
    return loaded


@pytest.mark.parametrize("text", TEXTS)
def test_fits_rays_schema(text: str, schema: dict[str, Any]) -> None:
    jsonschema.Draft7Validator(schema).validate(yaml.safe_load(text))


@pytest.mark.parametrize("key", ("cluster_name", "provider"))
def test_schema_would_notice_a_missing_key(config: dict[str, Any], schema: dict[str, Any], key: str) -> None:
    without = {name: value for name, value in config.items() if name != key}
    with pytest.raises(jsonschema.ValidationError, match=key):
        jsonschema.Draft7Validator(schema).validate(without)


def test_schema_would_notice_a_misspelt_key(config: dict[str, Any], schema: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError, match="max_wrokers"):
        jsonschema.Draft7Validator(schema).validate({**config, "max_wrokers": 2})


def test_resources_are_whole_numbers(config: dict[str, Any]) -> None:
    for node_type in config["available_node_types"].values():
        assert node_type["resources"].keys() <= {"CPU", "GPU"}
        assert all(type(amount) is int for amount in node_type["resources"].values())


def test_head_takes_no_trials(config: dict[str, Any]) -> None:
    head = config["available_node_types"][config["head_node_type"]]
    assert head["resources"] == {"CPU": 0}


def test_workers_cost_only_while_a_study_asks_for_them(config: dict[str, Any]) -> None:
    workers = [node for name, node in config["available_node_types"].items() if name != config["head_node_type"]]
    assert workers
    assert all(worker["resources"]["GPU"] >= 1 for worker in workers)
    assert all(worker["min_workers"] == 0 for worker in workers)
    assert sum(worker["max_workers"] for worker in workers) == config["max_workers"]
    assert f"--max-nodes {config['max_workers']} --gpus-per-trial 0.25" in (ROOT / "docs" / "cluster.md").read_text()


def test_a_lost_worker_costs_a_retry_and_a_lost_head_the_sweep_so_only_workers_are_spot(config: dict[str, Any]) -> None:
    for name, node in config["available_node_types"].items():
        is_spot = node["node_config"].get("InstanceMarketOptions") == {"MarketType": "spot"}
        assert is_spot == (name != config["head_node_type"])


@pytest.mark.parametrize("text", TEXTS)
def test_installs_from_the_lock_with_the_cluster_extra(text: str) -> None:
    setup = "\n".join(yaml.safe_load(text)["setup_commands"])
    assert "make install" in setup
    assert "--extra cluster -c requirements.lock" in setup
    assert "--require-hashes -r requirements.lock" in (ROOT / "Makefile").read_text()


def test_machines_of_ones_own_are_set_up_and_started_alike(config: dict[str, Any]) -> None:
    own = yaml.safe_load(LOCAL)
    assert own["setup_commands"] == config["setup_commands"]
    for key in ("head_start_ray_commands", "worker_start_ray_commands", "file_mounts", "rsync_filter"):
        assert own[key] == config[key]


def test_every_node_gets_the_project_and_the_token(config: dict[str, Any]) -> None:
    mounts = config["file_mounts"]
    assert mounts["/home/ubuntu/ablation"] == "./"
    assert mounts["/home/ubuntu/.ray/auth_token"] == "~/.ray/auth_token"


@pytest.mark.parametrize("role", ("head", "worker"))
def test_ray_starts_with_a_token_and_without_usage_statistics(config: dict[str, Any], role: str) -> None:
    start = next(command for command in config[f"{role}_start_ray_commands"] if "ray start" in command)
    assert "RAY_AUTH_MODE=token" in start
    assert "RAY_USAGE_STATS_ENABLED=0" in start


def test_dashboard_stays_on_loopback(config: dict[str, Any]) -> None:
    assert "--dashboard-host=127.0.0.1" in "\n".join(config["head_start_ray_commands"])
    assert "0.0.0.0" not in TEXT


@pytest.mark.parametrize("text", TEXTS)
def test_holds_nothing_secret_names_no_host_and_leaves_nothing_to_be_replaced(text: str) -> None:
    assert "://" not in text
    assert "index-url" not in text
    assert "REPLACE" not in text


def test_images_are_looked_up_by_name(config: dict[str, Any]) -> None:
    for node in config["available_node_types"].values():
        assert node["node_config"]["ImageId"].startswith("resolve:ssm:/aws/service/")
        assert "24.04" in node["node_config"]["ImageId"]  # older ones have too old a Python
