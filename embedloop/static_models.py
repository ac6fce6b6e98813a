"""Static models: every token has a vector of its own, and a text is their mean (`StaticEmbedding`)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

MODULES_FILE = "modules.json"
# In the folder of a static model: the model that re-scores what it finds.
RESCORER_FOLDER = "rescorer"


def is_static(folder: Path) -> bool:
    """Whether a sentence-transformers folder begins with static embeddings, which have no `config.json`."""
    try:
        modules: Any = json.loads((folder / MODULES_FILE).read_text(encoding="utf-8"))
        return str(modules[0]["type"]).endswith(".StaticEmbedding")
    except (OSError, ValueError, LookupError, TypeError):
        # No model at all: whoever opens the folder says what is wrong with it.
        return False


def set_window(model: Any, tokens: float) -> None:
    """Cuts the texts of a SentenceTransformer of either kind to so many tokens; infinity cuts nothing."""
    cut = getattr(model.tokenizer, "enable_truncation", None)
    if cut is None:
        model.max_seq_length = tokens
    elif tokens == float("inf"):
        model.tokenizer.no_truncation()
    else:
        cut(max_length=int(tokens))
