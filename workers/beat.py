"""Beat's scheduler: of several beat processes, one sends what is due and the others stand by."""

from __future__ import annotations

import logging
from typing import Any

from celery import Celery
from celery.beat import Scheduler
from kombu.exceptions import OperationalError
from redis.exceptions import LockError, RedisError
from redis.lock import Lock

from workers import heartbeat

log = logging.getLogger(__name__)

LEASE_KEY = "embedloop:beat"
# One late tick does not cost the lease; a beat that was killed is replaced after this many.
LEASE_TICKS = 5


class BeatLease:
    """A lease in the broker, to which whatever beat sends goes as well."""

    def __init__(self, app: Celery, seconds: float):
        self._app = app
        self.seconds = seconds
        self._lock: Lock | None = None
        self._held: bool | None = None

    def hold(self) -> bool:
        """Takes the lease or renews it; false while another process has it or the broker is away."""
        try:
            held = self._renew() or self._acquire()
        except (RedisError, OperationalError, OSError) as error:
            log.warning("the broker does not answer: %s", error)
            held = False
        if held != self._held:
            log.info("this beat %s", "sends what is due" if held else "stands by")
        self._held = held
        return held

    def release(self) -> None:
        """Gives the lease back, so that the next one need not wait for its end."""
        if self._lock is None or not self._held:
            return
        self._held = False
        try:
            self._lock.release()
        except (RedisError, OperationalError, OSError) as error:
            log.warning("the lease ends by itself: %s", error)

    def _renew(self) -> bool:
        if self._lock is None:
            return False
        try:
            # Also after the broker was away: it may have kept the lease meanwhile, and it is still ours.
            return bool(self._lock.reacquire())
        except LockError:
            return False

    def _acquire(self) -> bool:
        if self._lock is None:
            # kombu knows every form of broker address: TLS, Sentinel, a password.
            client = self._app.connection_for_write().default_channel.client
            self._lock = Lock(client, LEASE_KEY, timeout=self.seconds, thread_local=False)
        return bool(self._lock.acquire(blocking=False))


class LeasedScheduler(Scheduler):
    """Sends only while it holds the lease, and touches the heartbeat file at every tick.

    What a second beat would double is harmless (every task of the schedule may run twice at once), but it would
    be paid for. The schedule lives in memory: what is due is due again soon.
    """

    def __init__(self, app: Celery, *args: Any, **kwargs: Any):
        self._lease = BeatLease(app, LEASE_TICKS * app.conf.beat_max_loop_interval)
        super().__init__(app, *args, **kwargs)

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """One turn; returns the seconds to sleep."""
        heartbeat.touch(self.app.conf.get(heartbeat.FILE))
        if not self._lease.hold():
            return float(self.max_interval)
        return float(super().tick(*args, **kwargs))

    def close(self) -> None:
        self._lease.release()
        super().close()
