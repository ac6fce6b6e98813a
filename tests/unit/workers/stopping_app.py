"""A Celery app with one task that works until its worker is told to end; its broker is a folder."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from celery import Celery

from workers import stopping

FOLDER = Path(os.environ["STOPPING_FOLDER"])
PATIENCE_LOOKS, LOOK_SECONDS = 3000, 0.02

app = Celery("stopping", broker="filesystem://", set_as_current=False)
app.conf.update(
    broker_transport_options={
        "data_folder_in": str(FOLDER),
        "data_folder_out": str(FOLDER),
        "control_folder": str(FOLDER),
    },
    task_ignore_result=True,
    worker_pool="prefork",
    worker_pool_start_method="spawn",
    worker_concurrency=1,
    worker_soft_shutdown_timeout=2,
)
stopping.install(app)


@app.task(name="work", acks_late=True)
def work() -> None:
    """Leaves a file when it begins, and one when it has stopped as it was told to."""
    (FOLDER / "began").touch()
    for _ in range(PATIENCE_LOOKS):
        if stopping.is_stopping():
            (FOLDER / "stopped").touch()
            return
        threading.Event().wait(LOOK_SECONDS)
