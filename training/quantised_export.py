"""The int8 export of a model folder: both ways, measured beside fp32, and the one that serves kept."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, get_args

from embedloop.encoder import INT8_FILE, ONNX_FILE, Encoder, OnnxEncoder
from embedloop.errors import ModelRefused
from embedloop.recipe.compression import ExportSettings
from training.fidelity import FP32, Choice, choose, measure
from training.general import GeneralSet
from training.quantise import Way, quantise

# More change the scales little and cost time and memory.
CALIBRATION_TEXTS = 128
MEASURED_TEXTS = 128


def export_int8(
    folder: Path,
    settings: ExportSettings,
    judged: GeneralSet,
    texts: Sequence[str],
    record: Path,
    *,
    check: Callable[[], None] = lambda: None,
    **options: Any,
) -> Choice:
    """Quantises `onnx/model.onnx`, and leaves `onnx/model_int8.onnx` where an int8 graph was chosen.

    Args:
        folder: A model folder with its fp32 export.
        settings: What the graph must be worth.
        judged: On which nDCG@10 is compared.
        texts: Passages of the corpus: they calibrate the static graph, and all graphs are compared on them.
        record: JSON file for the backend that serves and for all that was measured.
        check: Called often; raises to end the work.
        options: Of `OnnxEncoder`, among them the prompts and `max_tokens`.

    Raises:
        ModelRefused: The policy wants an int8 graph, and the model cannot be quantised or none is faithful.
    """
    plain = OnnxEncoder(folder, **options)
    encoders: dict[str, Encoder] = {FP32: plain}
    known = [*texts, *judged.documents.values()][:CALIBRATION_TEXTS]
    refused = {}
    with tempfile.TemporaryDirectory(dir=folder / "onnx") as scratch:
        for way in get_args(Way):
            check()
            graph = Path(scratch) / f"{way}.onnx"
            try:
                quantise(folder / ONNX_FILE, graph, way, plain.feeds(known))
            except ModelRefused as error:
                if settings.precision == "int8":
                    raise
                refused[way] = error.message
                continue
            encoders[way] = OnnxEncoder(folder, graph=str(graph.relative_to(folder)), **options)
        choice = choose(measure(encoders, judged, texts[:MEASURED_TEXTS], check=check), settings)
        if choice.graph != FP32:
            (Path(scratch) / f"{choice.graph}.onnx").replace(folder / INT8_FILE)
    backend = "onnx" if choice.graph == FP32 else "onnx_int8"
    record.write_text(
        json.dumps({"backend": backend, "refused": refused, **choice.to_json()}, sort_keys=True) + "\n"
    )
    return choice
