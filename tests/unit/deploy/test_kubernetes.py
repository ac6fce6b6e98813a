"""deploy/kubernetes: the processes of docker-compose.yml, with the same commands, bounds and rights."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from embedloop.settings import Settings
from tests import compose
from tests.unit.deploy.test_compose import ELSEWHERE

BASE = compose.ROOT / "deploy" / "kubernetes" / "base"
SERVICES = compose.services()
SECRET_SETTINGS = {"DATABASE_URL", "BROKER_URL", "SECRET_KEY", "ADMIN_KEY", "MILVUS_TOKEN"}


def documents() -> Iterator[dict[str, Any]]:
    for name in yaml.safe_load((BASE / "kustomization.yaml").read_text())["resources"]:
        yield from yaml.safe_load_all((BASE / name).read_text())


OBJECTS = {(found["kind"], found["metadata"]["name"]): found for found in documents()}
WORKLOADS = {name: found for (kind, name), found in OBJECTS.items() if kind in ("Deployment", "Job")}
DEPLOYMENTS = sorted(name for kind, name in OBJECTS if kind == "Deployment")


def pod(name: str) -> dict[str, Any]:
    spec: dict[str, Any] = WORKLOADS[name]["spec"]["template"]["spec"]
    return spec


def container(name: str) -> dict[str, Any]:
    (only,) = pod(name)["containers"]
    found: dict[str, Any] = only
    return found


def environment(name: str) -> dict[str, Any]:
    """Variable -> its value, or where that comes from."""
    from_map = OBJECTS["ConfigMap", "embedloop"]["data"]
    assert container(name)["envFrom"] == [{"configMapRef": {"name": "embedloop"}}]
    return from_map | {e["name"]: e.get("value", e.get("valueFrom")) for e in container(name)["env"]}


def test_every_process_of_the_compose_file_has_its_workload() -> None:
    assert set(WORKLOADS) == {*compose.OWN, "migrate"}
    assert WORKLOADS["migrate"]["kind"] == "Job"


def test_every_file_of_the_base_is_applied() -> None:
    listed = yaml.safe_load((BASE / "kustomization.yaml").read_text())["resources"]
    assert sorted(["kustomization.yaml", *listed]) == sorted(path.name for path in BASE.iterdir())


@pytest.mark.parametrize("name", sorted(WORKLOADS))
def test_command_and_image_are_those_of_the_compose_file(name: str) -> None:
    assert container(name)["command"] == SERVICES[name]["command"]
    tags = yaml.safe_load((BASE / "kustomization.yaml").read_text())["images"]
    pinned = {image["name"]: f"{image['name']}:{image['newTag']}" for image in tags}
    assert pinned[container(name)["image"]] == SERVICES[name]["image"]


@pytest.mark.parametrize("name", sorted(WORKLOADS))
def test_container_is_bounded_no_more_than_in_the_compose_file(name: str) -> None:
    resources = container(name)["resources"]
    limits = SERVICES[name]["deploy"]["resources"]["limits"]
    assert _cores(resources["limits"]["cpu"]) == float(limits["cpus"])
    assert resources["limits"]["memory"] == limits["memory"] + "i"
    assert _cores(resources["requests"]["cpu"]) <= _cores(resources["limits"]["cpu"])
    assert resources["requests"]["memory"]


def _cores(quantity: str) -> float:
    return float(quantity[:-1]) / 1000 if quantity.endswith("m") else float(quantity)


@pytest.mark.parametrize("name", sorted(WORKLOADS))
def test_pod_is_not_root_and_has_no_rights(name: str) -> None:
    assert pod(name)["automountServiceAccountToken"] is False
    user, _, group = SERVICES[name]["user"].partition(":")
    assert pod(name)["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": int(user),
        "runAsGroup": int(group),
        "fsGroup": int(group),
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert container(name)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


@pytest.mark.parametrize("name", sorted(WORKLOADS))
def test_environment_is_that_of_the_compose_file_and_known_to_the_code(name: str) -> None:
    given = set(environment(name))
    assert set(SERVICES[name]["environment"]) <= given
    known = {f"EMBEDLOOP_{field.upper()}" for field in Settings.model_fields}
    assert {variable for variable in given if variable.startswith("EMBEDLOOP_")} <= known | ELSEWHERE


@pytest.mark.parametrize("name", sorted(WORKLOADS))
def test_secrets_are_named_and_never_written(name: str) -> None:
    for variable, value in environment(name).items():
        if variable.removeprefix("EMBEDLOOP_") in SECRET_SETTINGS:
            assert value["secretKeyRef"]["name"] == "embedloop"
    assert not [found for kind, found in OBJECTS if kind == "Secret"]


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_long_running_container_is_probed(name: str) -> None:
    probes = container(name)
    if name == "api":
        paths = {
            kind: probes[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "readiness", "liveness")
        }
        assert paths == {"startup": "/readyz", "readiness": "/healthz", "liveness": "/healthz"}
        return
    check = SERVICES[name]["healthcheck"]["test"][1]
    assert probes["readinessProbe"]["exec"]["command"] == ["sh", "-c", check]
    # The same file, watched with more patience: it ages while the broker is away.
    assert probes["livenessProbe"]["exec"]["command"] == ["sh", "-c", check.replace("-mmin -1 ", "-mmin -10 ")]


@pytest.mark.parametrize("name", sorted(WORKLOADS))
def test_every_mount_has_its_volume(name: str) -> None:
    volumes = {volume["name"]: volume for volume in pod(name)["volumes"]}
    mounts = {mount["mountPath"]: mount["name"] for mount in container(name)["volumeMounts"]}
    assert set(mounts.values()) == set(volumes)
    in_compose = {volume.rpartition(":")[2] for volume in SERVICES[name].get("volumes", [])}
    assert set(mounts) == in_compose | {"/tmp"}
    if "/data" in mounts:
        claim = volumes[mounts["/data"]]["persistentVolumeClaim"]["claimName"]
        assert OBJECTS["PersistentVolumeClaim", claim]["spec"]["accessModes"] == ["ReadWriteMany"]


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_selector_of_a_deployment_finds_its_pods(name: str) -> None:
    spec = WORKLOADS[name]["spec"]
    assert spec["selector"]["matchLabels"] == spec["template"]["metadata"]["labels"]


def test_api_is_reached_scaled_and_kept() -> None:
    labels = WORKLOADS["api"]["spec"]["template"]["metadata"]["labels"]
    assert OBJECTS["Service", "api"]["spec"]["selector"] == labels
    assert OBJECTS["PodDisruptionBudget", "api"]["spec"]["selector"]["matchLabels"] == labels
    assert WORKLOADS["api"]["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    assert OBJECTS["HorizontalPodAutoscaler", "api"]["spec"]["minReplicas"] >= 2


@pytest.mark.parametrize("name", [name for kind, name in OBJECTS if kind == "HorizontalPodAutoscaler"])
def test_scaled_deployment_fixes_no_number_of_replicas(name: str) -> None:
    target = OBJECTS["HorizontalPodAutoscaler", name]["spec"]["scaleTargetRef"]
    assert target["kind"] == "Deployment"
    assert "replicas" not in WORKLOADS[target["name"]]["spec"]


def test_beat_never_runs_twice_in_a_rollout() -> None:
    assert WORKLOADS["beat"]["spec"]["replicas"] == 1
    assert WORKLOADS["beat"]["spec"]["strategy"] == {"type": "Recreate"}


@pytest.mark.parametrize("folder", ["base", "gpu"])
def test_kustomize_renders(folder: str) -> None:
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl is not installed")
    command = [kubectl, "kustomize", str(BASE.parent / folder)]
    rendered = subprocess.run(command, capture_output=True, text=True, check=False)
    assert rendered.returncode == 0, rendered.stderr
    found = list(yaml.safe_load_all(rendered.stdout))
    assert {(one["kind"], one["metadata"]["name"]) for one in found} == set(OBJECTS)
    assert {one["metadata"]["namespace"] for one in found} == {"embedloop"}
