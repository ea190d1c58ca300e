"""The files for clusters follow their schemas, and call our commands rightly."""

import importlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from pokejax import train
from server.lifecycle import LAST_S
from server.metrics import Metrics
from server.routes import ROUTES
from server.settings import PREFIX, Settings, read_settings

KUBERNETES = Path("deploy/kubernetes")
JOBSETS = ("train-gpu.yaml", "train-tpu.yaml")
VERSIONS = ("1.31", "1.35")  # of Kubernetes
SBATCH = Path("deploy/slurm/train.sbatch")


def manifests(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((KUBERNETES / name).read_text()))


def core_kinds(manifest: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A manifest, or of a JobSet, whose schema Kubernetes doesn't have, its jobs."""
    if manifest["kind"] != "JobSet":
        yield manifest
        return
    for job in manifest["spec"]["replicatedJobs"]:
        kind = {"apiVersion": "batch/v1", "kind": "Job"}
        yield kind | {"metadata": {"name": job["name"]}} | job["template"]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "path", sorted(KUBERNETES.glob("*.yaml")), ids=lambda p: p.name
)
def test_kubernetes_takes_the_manifests(path: Path, version: str):
    schemas = pytest.importorskip("kubernetes_validate")
    checked = [kind for each in manifests(path.name) for kind in core_kinds(each)]
    assert checked
    for kind in checked:
        schemas.validate(kind, version, strict=True)


@pytest.mark.parametrize("name", JOBSETS)
def test_jobsets_call_the_command_rightly(name: str):
    (jobset,) = manifests(name)
    (replicated,) = jobset["spec"]["replicatedJobs"]
    job = replicated["template"]["spec"]
    pod = job["template"]["spec"]
    (container,) = pod["containers"]
    program, command, *options = container["command"]
    assert (program, command) == ("pokejax", "train")
    for variable in container.get("env", ()):
        options = [o.replace(f"$({variable['name']})", "1") for o in options]
    args, config = train.parse_arguments(options)
    assert args.resume == "auto"
    # Bad input ends the whole set; see `train.main` for the codes.
    (rule,) = job["podFailurePolicy"]["rules"]
    assert rule["onExitCodes"]["values"] == [2]
    assert rule["onExitCodes"]["containerName"] == container["name"]
    assert job["parallelism"] == job["completions"]
    mounts = [mount["mountPath"] for mount in container["volumeMounts"]]
    for path in (config.data.dir, config.train.workdir):
        assert any(path.startswith(f"{mount}/") for mount in mounts), path
    if config.mesh.coordinator != "auto":
        assert config.mesh.processes == job["completions"]


@pytest.mark.parametrize(
    ("code", "restarts", "requeued"),
    [(0, 0, False), (2, 0, False), (143, 0, True), (1, 3, True), (143, 100, False)],
)
def test_slurm_runs_again_what_was_stopped(
    code: int, restarts: int, requeued: bool, tmp_path: Path
):
    """SLURM's two commands are stood in for: what is tested is our own script."""
    said = tmp_path / "said"
    for name, end in (("srun", code), ("scontrol", 0)):
        stub = tmp_path / name
        stub.write_text(f'#!/bin/sh\necho {name} "$@" >> {said}\nexit {end}\n')
        stub.chmod(0o755)
    job = {"SLURM_JOB_ID": "7", "SLURM_RESTART_COUNT": str(restarts)}
    path = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    ended = subprocess.run(
        ["bash", SBATCH, "--config", "thumbnail64"],
        env=os.environ | job | path,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == code, ended.stderr
    told = said.read_text().splitlines()
    assert told[1:] == ["scontrol requeue 7"] * requeued
    options = told[0].split(" train ")[1].split()
    args, config = train.parse_arguments(options)
    assert (args.resume, config.mesh.coordinator) == ("auto", "auto")


def test_kubernetes_watches_the_service_as_it_is():
    by_kind = {each["kind"]: each for each in manifests("service.yaml")}
    pod = by_kind["Deployment"]["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    paths = {path for route in ROUTES for path in route.paths}
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container[probe]["httpGet"]["path"] in paths
        assert container[probe]["httpGet"]["port"] == container["ports"][0]["name"]
    # Of a service called pokejax, links would be variables that no setting is called.
    assert pod["spec"]["enableServiceLinks"] is False
    names = [each["name"] for each in container["env"]]
    read_settings({name: "a" for name in names if name.startswith(PREFIX)})
    pause = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    grace = pod["spec"]["terminationGracePeriodSeconds"]
    assert grace >= pause + Settings().drain_s + LAST_S
    scaler = by_kind["HorizontalPodAutoscaler"]["spec"]
    assert scaler["scaleTargetRef"]["name"] == by_kind["Deployment"]["metadata"]["name"]
    (metric,) = scaler["metrics"]
    assert metric["pods"]["metric"]["name"] in Metrics().render().decode()
    labels = pod["metadata"]["labels"]
    for kind in ("Service", "Deployment", "PodDisruptionBudget"):
        selector = by_kind[kind]["spec"]["selector"]
        assert selector.get("matchLabels", selector).items() <= labels.items()


def test_ray_takes_its_file():
    schema = pytest.importorskip("ray.serve.schema")
    told = yaml.safe_load(Path("deploy/ray/serve.yaml").read_text())
    (app,) = schema.ServeDeploySchema.model_validate(told).applications
    read_settings(app.runtime_env["env_vars"])
    module, _, name = app.import_path.partition(":")
    assert callable(getattr(importlib.import_module(module), name))
