"""Ask, show, and let the reader say which passage was the right one.

Run `embedloop up` and ingest something first; then

    export EMBEDLOOP_KEY=$(cat embedloop-data/admin.key)
    python examples/rag_with_feedback.py notes "who may end the lease?"
"""

from __future__ import annotations

import os
import sys

from embedloop.langchain import EmbedloopRetriever


def main(corpus: str, question: str) -> None:
    retriever = EmbedloopRetriever(
        url=os.environ.get("EMBEDLOOP_URL", "http://127.0.0.1:8080"),
        api_key=os.environ["EMBEDLOOP_KEY"],
        corpus=corpus,
        k=5,
        session="reader-1",
    )
    documents = retriever.invoke(question)
    for number, document in enumerate(documents, 1):
        title, score = document.metadata["title"], document.metadata["score"]
        print(f"{number}. {score:.3f} {title}\n   {document.page_content[:160]}")
    answer = input("Which one answers the question? (number, or enter for none) ")
    if answer.strip():
        retriever.feedback(documents[int(answer) - 1], "correct")
    elif documents:
        retriever.feedback(documents[0], "none_relevant")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
