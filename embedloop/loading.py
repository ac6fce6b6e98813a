"""Loads that run beside the thread that asks for them, each version once."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

T = TypeVar("T")

# So many slow loads at once still delay no other.
THREADS = 4


class Loader(Generic[T]):
    """What is being loaded, by key; used by one thread at a time."""

    def __init__(self, threads: int = THREADS):
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="load")
        self._loads: dict[str, Future[T]] = {}

    def ask(self, key: str, load: Callable[[], T]) -> Future[T]:
        """The load of this key, begun now unless it is under way or has ended."""
        if key not in self._loads:
            self._loads[key] = self._pool.submit(load)
        return self._loads[key]

    def forget(self, key: str) -> None:
        """The next one who asks begins anew."""
        self._loads.pop(key, None)

    def keep(self, keys: set[str]) -> None:
        """Forgets every other load; one that runs already ends by itself."""
        for key in set(self._loads) - keys:
            self._loads.pop(key).cancel()

    @property
    def idle(self) -> bool:
        """Nothing is under way and nothing waits to be fetched."""
        return not self._loads

    def close(self) -> None:
        """Begins nothing more."""
        self._pool.shutdown(wait=False, cancel_futures=True)
