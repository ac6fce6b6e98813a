"""Whatever the policy for documents, no personal data that the redactor knows gets into training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from embedloop.records.documents import Corpus
from embedloop.records.training import TrainingPair
from embedloop.text.names import presidio_names
from embedloop.text.redact import redact
from workers.parts import Parts

Clear = Callable[[str], str]


def clear_of(parts: Parts, corpus: Corpus) -> Clear:
    """What takes out of a text all that must not be trained on."""
    names = presidio_names(parts.settings.names_model) if corpus.policy.redact_names else None
    return lambda text: redact(text, names=names).text


def redacted(pair: TrainingPair, clear: Clear) -> TrainingPair:
    """The pair with all its texts cleared."""
    return replace(
        pair,
        anchor=clear(pair.anchor),
        positive=clear(pair.positive),
        negatives=tuple(map(clear, pair.negatives)),
    )
