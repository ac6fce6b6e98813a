"""A model folder as ONNX, and the proof that both give the same embeddings."""

from __future__ import annotations
