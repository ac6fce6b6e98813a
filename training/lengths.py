"""How long texts are for a model, in its own tokens."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sentence_transformers import SentenceTransformer

from training.batches import Row

_CHUNK = 256


def token_lengths(
    model: SentenceTransformer, rows: Sequence[Row], query_prompt: str, passage_prompt: str
) -> list[tuple[int, int]]:
    """Tokens of each row's anchor and of its longest document, cut to the model's window.

    A model that gives no attention mask is counted in characters.
    """
    anchors = count_tokens(model, {query_prompt + row.anchor for row in rows})
    documents = count_tokens(model, {passage_prompt + text for row in rows for text in row.documents})
    return [
        (anchors[query_prompt + row.anchor], max(documents[passage_prompt + text] for text in row.documents))
        for row in rows
    ]


def count_tokens(model: SentenceTransformer, texts: Iterable[str]) -> dict[str, int]:
    """Tokens of each text, cut to the model's window."""
    ordered = sorted(texts, key=lambda text: (len(text), text))
    counted: dict[str, int] = {}
    for start in range(0, len(ordered), _CHUNK):
        part = ordered[start : start + _CHUNK]
        mask = model.preprocess(part).get("attention_mask")
        lengths = [len(text) for text in part] if mask is None else mask.sum(dim=1).tolist()
        counted.update(zip(part, lengths, strict=True))
    return counted
