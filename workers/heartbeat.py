"""A file that is touched while a worker's or beat's loop goes round: what a health check looks at."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from celery import Celery, bootsteps

log = logging.getLogger(__name__)

FILE = "heartbeat_file"
EVERY_SECONDS = 5.0


def touch(path: Path | None) -> None:
    """Touches the file, if there is to be one; a full disk is no reason to end."""
    if path is None:
        return
    try:
        path.touch()
    except OSError as error:
        log.warning("the heartbeat file %s cannot be touched: %s", path, error)


class Heart(bootsteps.StartStopStep):
    """Beats in the loop that takes tasks from the broker: it stands still when that loop does.

    Also while the broker is away, so that what restarts a worker must be patient: a training that is under way
    needs no broker.
    """

    requires = ("celery.worker.components:Timer",)

    def start(self, parent: Any) -> None:
        path = parent.app.conf.get(FILE)
        touch(path)
        if path is not None:
            parent.timer.call_repeatedly(EVERY_SECONDS, touch, (path,))


def install(app: Celery, path: Path | None) -> None:
    """Gives the workers and the beat of this app a heartbeat file."""
    app.conf.update({FILE: path})
    app.steps["worker"].add(Heart)
