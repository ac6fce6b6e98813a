"""Names of persons, where Presidio and a spaCy model are installed."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from embedloop.errors import MissingExtra

DEFAULT_MODEL = "en_core_web_sm"
MIN_SCORE = 0.5
CHARS_AT_ONCE = 100_000
_TOKEN = re.compile(r"\[[A-Z]{2,5}(?:_[a-z]{16})?\]")


class PresidioNames:
    """Finds persons with Presidio's analyzer; what `redact` wrote is never taken for a name."""

    def __init__(self, analyzer: Any, language: str = "en"):
        self._analyzer = analyzer
        self._language = language

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Start and end of each name, in order, without overlaps; names across 100,000 characters are cut."""
        written = [match.span() for match in _TOKEN.finditer(text)]
        found: list[tuple[int, int]] = []
        for offset in range(0, len(text), CHARS_AT_ONCE):
            results = self._analyzer.analyze(
                text=text[offset : offset + CHARS_AT_ONCE],
                language=self._language,
                entities=["PERSON"],
                score_threshold=MIN_SCORE,
            )
            for start, end in sorted((offset + r.start, offset + r.end) for r in results):
                free = not found or start >= found[-1][1]
                if free and not any(start < after and before < end for before, after in written):
                    found.append((start, end))
        return found


@lru_cache(maxsize=2)
def presidio_names(model: str = DEFAULT_MODEL) -> PresidioNames:
    """Load the finder of names; nothing is downloaded.

    Args:
        model: An installed spaCy package with named entities, for English.

    Raises:
        MissingExtra: Presidio or the model is not installed; the message says which.
    """
    try:
        from presidio_analyzer import AnalyzerEngine
        from presidio_analyzer.nlp_engine import NlpEngineProvider
        from spacy.util import is_package
    except ImportError as error:
        raise MissingExtra("finding names needs Presidio: pip install 'embedloop[pii]'") from error
    if not is_package(model):
        # Presidio would try to download it.
        raise MissingExtra(f"finding names needs the spaCy model {model!r}: python -m spacy download {model}")
    configuration = {"nlp_engine_name": "spacy", "models": [{"lang_code": "en", "model_name": model}]}
    engine = NlpEngineProvider(nlp_configuration=configuration).create_engine()
    return PresidioNames(AnalyzerEngine(nlp_engine=engine, supported_languages=["en"]))
