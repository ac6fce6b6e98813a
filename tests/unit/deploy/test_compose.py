"""docker-compose.yml: valid, pinned, without secrets, and every process bounded, watched and without rights."""

from __future__ import annotations

import importlib
import importlib.util
import json
import re
import subprocess
import sys
from typing import Any

import jsonschema_rs
import pytest

from embedloop.queue import QUEUES
from embedloop.settings import Settings
from tests import compose

SCHEMA = compose.ROOT / "tests" / "third_party" / "compose-spec" / "compose-spec.json"
SERVICES = compose.services()
LONG_RUNNING = sorted(set(SERVICES) - set(compose.ONE_SHOT))
# Read by embedloop.service before its settings, or by the command line and examples.
ELSEWHERE = {"EMBEDLOOP_REPLICA_ID", "EMBEDLOOP_URL", "EMBEDLOOP_KEY"}
# Its image decides; see the comment in the file.
USER_OF_THE_IMAGE = {"milvus"}


def test_file_is_valid_by_the_compose_specification() -> None:
    document = compose.load()
    # The project's name came into the specification after this copy of its schema.
    assert document.pop("name") == "embedloop"
    validator = jsonschema_rs.validator_for(json.loads(SCHEMA.read_text()))
    assert [error.message for error in validator.iter_errors(document)] == []


def test_schema_refuses_a_file_with_an_unknown_key() -> None:
    validator = jsonschema_rs.validator_for(json.loads(SCHEMA.read_text()))
    assert not validator.is_valid({"services": {"api": {"image": "x", "helthcheck": {}}}})


@pytest.mark.parametrize("missing", sorted(compose.SECRETS))
def test_no_secret_has_a_default(missing: str) -> None:
    given = {name: value for name, value in compose.SECRETS.items() if name != missing}
    with pytest.raises(compose.MissingVariable, match=missing):
        compose.services(given)


def test_no_secret_is_written_in_the_file() -> None:
    names = re.compile(r"PASSWORD|SECRET|TOKEN|ADMIN_KEY|REDISCLI_AUTH")
    for name, service in compose.load()["services"].items():
        for variable, value in service.get("environment", {}).items():
            if names.search(variable) and not variable.startswith("TOKENIZERS"):
                assert str(value).startswith("${"), f"{name}: {variable}"
    assert not re.search(r"://[^$@/\s]*:[^$@\s]+@", compose.FILE.read_text())


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_image_is_pinned(name: str) -> None:
    tag = SERVICES[name]["image"].rpartition(":")[2]
    assert re.search(r"\d+\.\d+\.\d+|\d+\.\d+-|RELEASE\.\d{4}", tag), SERVICES[name]["image"]


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_service_is_bounded_in_memory_and_cpu(name: str) -> None:
    limits = SERVICES[name]["deploy"]["resources"]["limits"]
    assert float(limits["cpus"]) > 0
    assert re.fullmatch(r"\d+[MG]", limits["memory"])


@pytest.mark.parametrize("name", LONG_RUNNING)
def test_long_running_service_is_watched_and_restarted(name: str) -> None:
    service = SERVICES[name]
    assert service["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL")
    assert service["restart"] == "unless-stopped"


@pytest.mark.parametrize("name", sorted(set(LONG_RUNNING) - USER_OF_THE_IMAGE))
def test_long_running_service_is_not_root_and_has_no_rights(name: str) -> None:
    service = SERVICES[name]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", service["user"])
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert "no-new-privileges:true" in service["security_opt"]
    assert not service.get("privileged")


def test_only_the_api_is_published_and_only_on_loopback() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published == {"api": ["127.0.0.1:8080:8080"]}


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_what_a_service_waits_for_can_come_true(name: str) -> None:
    for other, wanted in SERVICES[name].get("depends_on", {}).items():
        if wanted["condition"] == "service_healthy":
            assert "healthcheck" in SERVICES[other]
        else:
            assert wanted["condition"] == "service_completed_successfully"
            assert SERVICES[other]["restart"] == "no"


@pytest.mark.parametrize("name", [*compose.OWN, "migrate"])
def test_every_setting_is_one_that_the_code_reads(name: str) -> None:
    given = {key for key in SERVICES[name]["environment"] if key.startswith("EMBEDLOOP_")}
    known = {f"EMBEDLOOP_{field.upper()}" for field in Settings.model_fields}
    assert given <= known | ELSEWHERE
    assert {"EMBEDLOOP_DATABASE_URL", "EMBEDLOOP_BROKER_URL"} <= given


@pytest.mark.parametrize("name", [*compose.OWN, "migrate"])
def test_command_names_something_that_is_there(name: str) -> None:
    program, *arguments = SERVICES[name]["command"]
    match program:
        case "uvicorn":
            module, factory = arguments[0].split(":")
            assert callable(getattr(importlib.import_module(module), factory))
        case "celery":
            assert arguments[:2] == ["-A", "workers.app"]
            assert importlib.import_module("workers.app").app
            assert arguments[2] in ("worker", "beat")
        case "python":
            assert arguments[0] == "-m"
            assert importlib.util.find_spec(arguments[1])
        case _:
            pytest.fail(f"unknown program {program}")


def test_every_queue_has_a_worker_and_no_worker_another_queue() -> None:
    taken = [queue_of(service) for name, service in SERVICES.items() if name.startswith("worker-")]
    assert sorted(taken) == sorted(QUEUES)


def queue_of(service: dict[str, Any]) -> str:
    command: list[str] = service["command"]
    return command[command.index("-Q") + 1]


def test_volumes_are_named_and_declared() -> None:
    declared = set(compose.load()["volumes"])
    used = set()
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            source, colon, _ = volume.partition(":")
            if colon:
                used.add(source)
    assert used == declared


DOCKERFILE = (compose.ROOT / "Dockerfile").read_text()


def stages() -> dict[str, str]:
    """Target -> its instructions."""
    parts = re.split(r"^FROM \S+ AS (\w+)$", DOCKERFILE, flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def test_every_build_target_is_a_stage_that_ends_as_the_user_of_the_file() -> None:
    targets = {s["build"]["target"]: s["user"] for s in SERVICES.values() if "build" in s}
    assert set(targets) == {"service", "worker", "trainer"}
    for target, user in targets.items():
        assert re.findall(r"^USER (\S+)$", stages()[target], re.MULTILINE) == [user]


def test_command_of_an_image_is_that_of_its_service() -> None:
    for target, name in (("service", "api"), ("worker", "worker-default"), ("trainer", "worker-train")):
        told = re.findall(r"^CMD (\[.*\])$", stages()[target], re.MULTILINE)
        assert [json.loads(line) for line in told] == [SERVICES[name]["command"]]


def test_every_file_that_an_image_takes_is_let_through_to_the_build() -> None:
    let_through = {line[1:] for line in (compose.ROOT / ".dockerignore").read_text().split() if line[0] == "!"}
    copied = {
        name for line in re.findall(r"^COPY (.*)$", DOCKERFILE, re.MULTILINE) for name in line.split()[:-1]
    }
    assert copied == let_through
    assert all((compose.ROOT / name).exists() for name in copied)


TRAINING_ONLY = (
    "torch",
    "sentence_transformers",
    "transformers",
    "datasets",
    "onnx",
    "ir_measures",
    "accelerate",
)
SERVER_ONLY = ("fastapi", "celery", "pymilvus", "sqlalchemy", "onnxruntime", "numpy")


@pytest.mark.parametrize(
    ("target", "modules", "absent"),
    [
        ("client", "embedloop.cli embedloop.client", (*TRAINING_ONLY, *SERVER_ONLY)),
        ("service", "service.app", TRAINING_ONLY),
        (
            "worker",
            "workers.app workers.beat workers.reembed workers.collect workers.promote workers.upkeep "
            "embedloop.catalog.migrate",
            (*TRAINING_ONLY, "fastapi"),
        ),
    ],
)
def test_image_runs_without_what_it_does_not_hold(target: str, modules: str, absent: tuple[str, ...]) -> None:
    assert target in stages()
    code = f"import sys; sys.modules.update(dict.fromkeys({absent!r}))\n"
    code += "\n".join(f"import {module}" for module in modules.split())
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=compose.ROOT, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
