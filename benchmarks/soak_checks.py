"""After the load: is every acknowledged document there, and every deleted one gone."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

from benchmarks.bench_corpus import CORPUS, serving
from benchmarks.plan import TOP_K
from benchmarks.soak_ledger import REVISION
from benchmarks.soak_traffic import Traffic
from benchmarks.writing import query_of
from embedloop.client import AsyncClient, Client
from embedloop.demo.ontology import Term
from embedloop.errors import DeadlineExceeded, EmbedloopError, NotFound

AT_ONCE = 8
APPLIED_SECONDS = 300.0
LOOK_SECONDS = 0.5
# Milvus answers from a view that may be some seconds old: what is missing is looked for once more after these.
AGAIN_SECONDS = 10.0


async def wait_until_applied(client: Client) -> None:
    """Waits until the version that serves has passed every change.

    Raises:
        DeadlineExceeded: It has not in time.
    """
    for _ in range(int(APPLIED_SECONDS / LOOK_SECONDS)):
        if serving(client)["lag"] == 0:
            return
        await asyncio.sleep(LOOK_SECONDS)
    lag = serving(client)["lag"]
    raise DeadlineExceeded(f"every change must be applied in {APPLIED_SECONDS:g} s, {lag} are not")


async def check(client: AsyncClient, traffic: Traffic, base: Sequence[Term]) -> dict[str, Any]:
    """Reads and searches every document of whose state there is no doubt.

    Args:
        client: The service; what it refuses counts as an error here.
        traffic: Who wrote.
        base: Documents that nobody touched.

    Returns:
        How many were checked, how many were in doubt, and the wrong ones: `lost` (acknowledged, not stored as
        such), `not found` (stored, no search shows it), `deleted stored`, `deleted shown`.
    """
    live, deleted = traffic.ledger.live(), traffic.ledger.deleted()
    texts = {term.term_id: query_of(term) for term in base}
    texts |= {document_id: traffic.text_of(document_id) for document_id in (*live, *deleted)}
    wrong: Counter[str] = Counter()

    async def stored(document_id: str) -> bool:
        try:
            document = await client.get_document(CORPUS, document_id)
        except NotFound:
            return False
        revision = live.get(document_id)
        return revision is None or document["metadata"].get(REVISION) == revision

    async def shown(document_id: str) -> bool:
        answer = await client.search(CORPUS, texts[document_id], top_k=TOP_K)
        revision = live.get(document_id)
        return any(
            hit.document_id == document_id and revision in (None, hit.metadata.get(REVISION))
            for hit in answer.results
        )

    present = [*(term.term_id for term in base), *live]
    wrong["lost"] = len(await _without(present, stored))
    missing = await _without(present, shown)
    if missing:
        await asyncio.sleep(AGAIN_SECONDS)
        missing = await _without(missing, shown)
    wrong["not found"] = len(missing)
    wrong["deleted stored"] = len(await _without(deleted, _not(stored)))
    wrong["deleted shown"] = len(await _without(deleted, _not(shown)))
    return {
        "untouched": len(base),
        "written": len(live),
        "deleted": len(deleted),
        "in_doubt": len(traffic.ledger.uncertain),
        "wrong": {name: count for name, count in wrong.items() if count},
        "examples": missing[:10],
    }


def _not(holds: Callable[[str], Awaitable[bool]]) -> Callable[[str], Awaitable[bool]]:
    async def opposite(name: str) -> bool:
        return not await holds(name)

    return opposite


async def _without(names: Iterable[str], holds: Callable[[str], Awaitable[bool]]) -> list[str]:
    """Those of which it does not hold; one that cannot be asked about is one of them."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(name: str) -> str | None:
        async with gate:
            try:
                return None if await holds(name) else name
            except EmbedloopError:
                return name

    answers = await asyncio.gather(*(one(name) for name in names))
    return [name for name in answers if name is not None]
