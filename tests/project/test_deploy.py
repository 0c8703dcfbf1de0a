"""deploy/: the job of KubeRay, the batch script of SLURM, and the role that nodes have on AWS."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "deploy" / "slurm.sh"
JOB: dict[str, Any] = yaml.safe_load((ROOT / "deploy" / "rayjob.yaml").read_text())

# What the batch script calls, each of which notes how it was called; `study` behaves as a file beside it says.
STUBS = {
    # As srun does, a signal ends all that the step has started.
    "srun": """
        while [[ $1 == --* ]]; do shift; done
        set -m; "$@" & step=$!; trap 'kill -- -$step' TERM; wait $step; wait $step""",
    "hostname": "echo 192.0.2.7",
    "scontrol": 'if [[ $1 == show ]]; then printf "one\ntwo\n"; fi',
    ".venv/bin/ray": """
        # Until all nodes are there no study starts here: how many have started is what the tests ask.
        [[ $1 == start ]] || { [[ -e token.txt && $(wc -l < token.txt) == 2 ]]; exit; }
        stat --format %a "$RAY_AUTH_TOKEN_PATH" > rights.txt; umask > umask.txt
        echo "$RAY_AUTH_MODE $(wc -c < "$RAY_AUTH_TOKEN_PATH")" >> token.txt; exec sleep 60""",
    ".venv/bin/ablation": """
        if [[ $1 == status ]]; then test -e hurries && kill -USR1 $PPID; test -e begun; exit; fi
        test -e waits && { trap 'exit 130' TERM; touch waiting; while :; do sleep 0.05; done; }
        [[ -e code ]] && exit "$(cat code)"
        exit 0""",
}  # fmt: skip


@pytest.fixture
def job(tmp_path: Path) -> Path:
    for name, body in STUBS.items():
        path = tmp_path / (name if "/" in name else f"path/{name}")
        path.parent.mkdir(parents=True, exist_ok=True)
        note = f'echo "{Path(name).name} $*" >> {shlex.quote(str(tmp_path / "calls.txt"))}'
        path.write_text(f"#!/usr/bin/env bash\n{note}\n{body}\n")
        path.chmod(0o755)
    return tmp_path


def started(job: Path, *options: str, **variables: str) -> subprocess.Popen[str]:
    environment = {
        **os.environ,
        **variables,
        "PATH": f"{job / 'path'}:{os.environ['PATH']}",
        "SLURM_JOB_ID": "42",
        "SLURM_JOB_NODELIST": "node[1-2]",
        "SLURM_CPUS_PER_TASK": "8",
    }
    return subprocess.Popen(
        ["bash", SCRIPT, *options], cwd=job, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def tell(script: subprocess.Popen[str], job: Path, number: signal.Signals) -> None:
    """Send the job a signal once its study is at work, and wait for its end."""
    while not (job / "waiting").exists():
        assert script.poll() is None
    script.send_signal(number)
    script.communicate(timeout=60)


def calls(job: Path, program: str) -> list[str]:
    lines = (job / "calls.txt").read_text().splitlines()
    return [line.removeprefix(f"{program} ") for line in lines if line.startswith(f"{program} ")]


def test_a_slurm_job_starts_a_study_on_all_its_nodes_and_leaves_nothing(job: Path) -> None:
    umask = os.umask(0)
    os.umask(umask)
    with started(job, "--space", "my study.py", "--out", "shared", "--name", "first") as script:
        _, error = script.communicate(timeout=60)
    assert script.returncode == 0, error
    assert calls(job, "ablation")[-1] == "run --space my study.py --out shared --name first --address 192.0.2.7:20042"
    starts = [call for call in calls(job, "ray") if call.startswith("start")]
    assert any("--head" in call and "--num-cpus=8" in call for call in starts)
    assert (job / "token.txt").read_text().splitlines() == ["token 64"] * len(starts)
    assert not list(job.glob(".ray-token-*"))
    # The token is for its owner alone; what the study writes is for whom the user's umask says.
    assert (job / "rights.txt").read_text() == "600\n"
    assert int((job / "umask.txt").read_text(), 8) == umask
    assert not any(call.startswith("requeue") for call in calls(job, "scontrol"))


def test_a_slurm_job_goes_on_with_a_study_that_is_there(job: Path) -> None:
    (job / "begun").touch()
    with started(job, "--space", "tcl", "--name=x", "--out=shared", "--name", "first") as script:
        script.communicate(timeout=60)
    assert calls(job, "ablation")[-1] == "resume shared/first --address 192.0.2.7:20042"


def test_a_slurm_job_whose_time_is_up_ends_its_study_in_order_and_is_queued_again(job: Path) -> None:
    (job / "waits").touch()
    with started(job, "--space", "tcl", "--name", "first") as script:
        tell(script, job, signal.SIGUSR1)
    assert script.returncode == 130
    assert calls(job, "scontrol")[-1] == "requeue 42"


def test_a_slurm_job_gives_its_studys_code_though_the_study_ends_before_the_signal_is_dealt_with(job: Path) -> None:
    (job / "waits").touch()
    # As on a busy node: once the study has been told, the script reads no line before the study has ended.
    slow = job / "slow.sh"
    slow.write_text("""
        until_the_study_has_ended() { while kill -0 "$study" 2> /dev/null; do :; done; }
        # While it waits for the study the trap tells it.
        trap '[[ ${signals:-0} == 0 || $BASH_COMMAND == wait* ]] || until_the_study_has_ended' DEBUG""")
    with started(job, "--space", "tcl", "--name", "first", BASH_ENV=str(slow)) as script:
        tell(script, job, signal.SIGUSR1)
    assert script.returncode == 130
    assert calls(job, "scontrol")[-1] == "requeue 42"


def test_a_slurm_job_that_is_cancelled_ends_its_study_in_order_and_does_not_come_back(job: Path) -> None:
    (job / "waits").touch()
    with started(job, "--space", "tcl", "--name=first") as script:
        tell(script, job, signal.SIGTERM)
    assert script.returncode == 130
    assert not any(call.startswith("requeue") for call in calls(job, "scontrol"))


def test_a_slurm_job_whose_study_ends_by_itself_for_lack_of_time_is_not_queued_again(job: Path) -> None:
    (job / "code").write_text("130")
    with started(job, "--space", "tcl", "--name", "first", "--max-hours", "4") as script:
        script.communicate(timeout=60)
    assert script.returncode == 130
    assert not any(call.startswith("requeue") for call in calls(job, "scontrol"))


def test_a_slurm_job_whose_time_is_up_before_its_study_has_begun_is_queued_again_too(job: Path) -> None:
    (job / "hurries").touch()
    (job / "waits").touch()
    with started(job, "--space", "tcl", "--name", "first") as script:
        script.communicate(timeout=60)
    assert script.returncode in (130, 128 + signal.SIGTERM)
    assert calls(job, "scontrol")[-1] == "requeue 42"


def test_a_slurm_job_without_a_name_could_not_go_on_and_is_refused(job: Path) -> None:
    with started(job, "--space", "tcl") as script:
        _, error = script.communicate(timeout=60)
    assert script.returncode == 2
    assert "--name is missing" in error
    assert not (job / "calls.txt").exists()


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_shellcheck_finds_nothing() -> None:
    checked = subprocess.run(["shellcheck", SCRIPT], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout


def test_kuberays_entrypoint_is_one_line_that_a_shell_reads_as_one_command() -> None:
    entrypoint = JOB["spec"]["entrypoint"].strip()
    assert "\n" not in entrypoint
    command = shlex.split(entrypoint)
    assert command[:2] == ["bash", "-c"] and len(command) == 3
    subprocess.run(["bash", "-n", "-c", command[2]], check=True)


def test_kuberays_cluster_demands_a_token_has_our_ray_and_grows_as_far_as_its_study_asks() -> None:
    cluster = JOB["spec"]["rayClusterSpec"]
    assert cluster["authOptions"] == {"mode": "token"}
    assert f"\nray=={cluster['rayVersion']} " in (ROOT / "requirements.lock").read_text()
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    (workers,) = cluster["workerGroupSpecs"]
    assert cluster["enableInTreeAutoscaling"] and workers["minReplicas"] == workers["replicas"] == 0
    assert f"--max-nodes {workers['maxReplicas']} " in JOB["spec"]["entrypoint"]


def test_the_role_reaches_one_bucket_and_hands_on_itself_alone(tmp_path: Path) -> None:
    python = Path(sys.prefix) / "s3-server" / "bin" / "python"  # boto3 and moto are there
    checked = subprocess.run(
        [python, "-W", "ignore", "-c", ROLE, str(ROOT / "deploy")],
        capture_output=True, text=True, cwd=tmp_path,
        env={**os.environ, "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_DEFAULT_REGION": "us-west-2"},
    )  # fmt: skip
    assert checked.returncode == 0, checked.stderr


ROLE = """
import sys
sys.path.insert(0, sys.argv[1])
from moto import mock_aws
import boto3
import aws_role
with mock_aws():
    arn = aws_role.make_role("mine")
    assert aws_role.make_role("mine") == arn  # a second call changes nothing
    iam = boto3.client("iam")
    assert len(iam.list_roles(PathPrefix="/aws-service-role/spot.amazonaws.com/")["Roles"]) == 1
    # A call that ended early left a profile without a role.
    iam.remove_role_from_instance_profile(InstanceProfileName="ablation-node", RoleName="ablation-node")
    aws_role.make_role("mine")
    profile = iam.get_instance_profile(InstanceProfileName="ablation-node")["InstanceProfile"]
    assert [role["Arn"] for role in profile["Roles"]] == [arn]
    allowed = iam.get_role_policy(RoleName="ablation-node", PolicyName="ablation-node")["PolicyDocument"]["Statement"]
    for statement in allowed:
        actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
        services = {action.split(":")[0] for action in actions}
        if services == {"s3"}:
            assert statement["Resource"] in ("arn:aws:s3:::mine", "arn:aws:s3:::mine/*")
        if "iam" in services:
            assert actions == ["iam:PassRole"] and statement["Resource"] == arn
"""
