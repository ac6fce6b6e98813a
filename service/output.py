"""What every answer's description has in common."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


def example(value: dict[str, Any]) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [value]})


def _may_be_absent(schema: dict[str, Any]) -> None:
    # An absent field is left out of the answer, it is not null.
    schema.pop("default", None)


Absent = Field(default=None, json_schema_extra=_may_be_absent)


class Out(BaseModel):
    """An answer."""

    model_config = ConfigDict(frozen=True)
