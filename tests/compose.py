"""`docker-compose.yml` as tests read it: parsed, with its variables filled in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
FILE = ROOT / "docker-compose.yml"
# What a person puts into .env; the file must hold none of it.
SECRETS = {
    "POSTGRES_PASSWORD": "of-postgres",
    "REDIS_PASSWORD": "of-redis",
    "MINIO_ROOT_USER": "of-minio",
    "MINIO_ROOT_PASSWORD": "of-minio-too",
    "EMBEDLOOP_SECRET_KEY": "s" * 64,
}
# Our own processes that run until they are told to end.
OWN = ("api", "worker-train", "worker-embed", "worker-apply", "worker-default", "beat")
ONE_SHOT = ("volumes", "migrate")

_VARIABLE = re.compile(r"(?<!\$)\$\{(\w+)(?::([-?])([^}]*))?\}")


class MissingVariable(KeyError):
    """A variable that must be given was not."""


def load() -> dict[str, Any]:
    """The file with its anchors and merges, its variables as they stand."""
    found: dict[str, Any] = yaml.safe_load(FILE.read_text())
    return found


def services(variables: Mapping[str, str] = SECRETS) -> dict[str, dict[str, Any]]:
    """The services as Compose would start them with these variables. Raises MissingVariable."""
    found: dict[str, dict[str, Any]] = _filled(load()["services"], variables)
    return found


def _filled(value: Any, variables: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _filled(inner, variables) for key, inner in value.items()}
    if isinstance(value, list):
        return [_filled(inner, variables) for inner in value]
    if isinstance(value, str):
        return _VARIABLE.sub(lambda found: _value_of(found, variables), value).replace("$$", "$")
    return value


def _value_of(found: re.Match[str], variables: Mapping[str, str]) -> str:
    name, kind, text = found.groups()
    if variables.get(name):
        return variables[name]
    if kind == "-":
        return str(text)
    raise MissingVariable(f"{name}: {text}")
