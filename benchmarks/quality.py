"""How well a model finds held-out queries' terms: `python -m benchmarks.quality`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks import child


def main(config: dict[str, Any]) -> dict[str, Any]:
    """Ranks the whole pool for each query by cosine, exactly; mean nDCG@10, 0..1, greater is better."""
    from transformers.utils.logging import disable_progress_bar

    from training.evaluation import rank_by_cosine, score_run
    from training.model_files import load_model

    disable_progress_bar()
    model = load_model(Path(config["model"]))
    pool: dict[str, str] = config["pool"]
    queries = model.encode([query for query, _ in config["cases"]], normalize_embeddings=True)
    passages = model.encode(list(pool.values()), normalize_embeddings=True)
    ranked = rank_by_cosine(queries, passages, list(pool), k=10)
    names = [str(number) for number in range(len(ranked))]
    qrels = {name: {right: 1} for name, (_, right) in zip(names, config["cases"], strict=True)}
    return {"ndcg@10": score_run(dict(zip(names, ranked, strict=True)), qrels).mean["ndcg@10"]}


if __name__ == "__main__":
    child.answer(main)
