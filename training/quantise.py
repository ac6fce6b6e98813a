"""An exported graph with matrices of eight bits, which most CPUs multiply several times faster.

Weights get one scale for each output channel: with one for a whole matrix, the few large ones cost all others
their precision (Jacob et al. 2018, arXiv:1712.05877; for transformers, Zafrir et al. 2019, arXiv:1910.06188).

| way | scales of activations | worth knowing |
|---|---|---|
| `dynamic` | measured at each run, over the batch | a vector depends a little on the rest of its batch |
| `static` | fixed, from texts of the corpus | the same text gets the same vector; what lies beyond is cut |
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

import onnx
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

from embedloop.errors import ModelRefused

Way = Literal["dynamic", "static"]
Feed = dict[str, Any]

# Activations times activations have no weights to quantise, and lose most.
_WEIGHTS_ONLY = {"MatMulConstBOnly": True}
_OPERATORS = ["MatMul"]


class _Feeds(CalibrationDataReader):
    """Batches of tokens, one after the other, as the calibration asks for them."""

    def __init__(self, feeds: Iterable[Feed]):
        self._feeds: Iterator[Feed] = iter(feeds)

    def get_next(self) -> Feed | None:
        return next(self._feeds, None)


def quantise(graph: Path, target: Path, way: Way, feeds: Iterable[Feed] = ()) -> None:
    """Writes `target`: the graph with int8 weights per channel.

    Seven of the eight bits are used: with all of them, CPUs without VNNI overflow without saying so, and one
    index may be written and searched by machines of both kinds.

    Args:
        graph: fp32, as `export_onnx` wrote it.
        target: Written whole or not at all.
        way: How the activations get their scales.
        feeds: What `static` is calibrated on: inputs of the graph, batch by batch.

    Raises:
        ModelRefused: The graph has no matrix with weights, or cannot be quantised.
    """
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        prepared, partial = Path(scratch) / "prepared.onnx", Path(scratch) / "int8.onnx"
        try:
            quant_pre_process(str(graph), str(prepared), skip_symbolic_shape=True)
            _quantise(prepared, partial, way, feeds)
        except Exception as error:  # its errors have no base but Exception
            raise ModelRefused(f"{graph} cannot be quantised: {type(error).__name__}: {error}") from error
        if not _is_quantised(partial):
            raise ModelRefused(f"{graph} has no matrix of weights to quantise")
        partial.replace(target)


def _quantise(graph: Path, target: Path, way: Way, feeds: Iterable[Feed]) -> None:
    common: dict[str, Any] = {
        "per_channel": True,
        "reduce_range": True,
        "weight_type": QuantType.QInt8,
        "op_types_to_quantize": _OPERATORS,
    }
    if way == "dynamic":
        quantize_dynamic(graph, target, extra_options=_WEIGHTS_ONLY, **common)
        return
    quantize_static(
        graph,
        target,
        _Feeds(feeds),
        quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QUInt8,
        calibrate_method=CalibrationMethod.MinMax,
        # What a matrix gives is added and normalised next, in fp32.
        extra_options={**_WEIGHTS_ONLY, "OpTypesToExcludeOutputQuantization": _OPERATORS},
        **common,
    )


def _is_quantised(graph: Path) -> bool:
    weights = onnx.load(str(graph)).graph.initializer
    return any(one.data_type == onnx.TensorProto.INT8 and len(one.dims) == 2 for one in weights)
