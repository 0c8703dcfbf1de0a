"""cluster.yaml, held against Ray's own schema and against what a study needs of a cluster."""

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


def commands(config: dict[str, Any]) -> str:
    return "\n".join(command for key in config if key.endswith("_commands") for command in config[key])


def test_fits_rays_schema(config: dict[str, Any], schema: dict[str, Any]) -> None:
    jsonschema.Draft7Validator(schema).validate(config)


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


def test_workers_are_there_from_the_start(config: dict[str, Any]) -> None:
    workers = [node for name, node in config["available_node_types"].items() if name != config["head_node_type"]]
    assert workers
    assert all(worker["resources"]["GPU"] >= 1 for worker in workers)
    assert all(worker["min_workers"] == worker["max_workers"] for worker in workers)
    assert sum(worker["min_workers"] for worker in workers) == config["max_workers"]


def test_installs_from_the_lock_with_the_cluster_extra(config: dict[str, Any]) -> None:
    setup = "\n".join(config["setup_commands"])
    assert "--require-hashes -r requirements.lock" in setup
    assert "--extra cluster" in setup
    assert (ROOT / "requirements.lock").is_file()


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


def test_holds_nothing_secret_and_names_no_host(config: dict[str, Any]) -> None:
    assert "://" not in TEXT
    assert "index-url" not in TEXT
    ids = [node["node_config"]["ImageId"] for node in config["available_node_types"].values()]
    assert set(ids) == {"ami-REPLACE-ME"}
    assert "REPLACE-ME:/ /shared" in commands(config)
