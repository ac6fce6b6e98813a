"""Runs one command and ends it when the parent goes away.

Called as `python -m embedloop.child PIDFILE COMMAND [ARG ...]`.

The parent holds the other end of this process' stdin. When that closes, however the parent died, the command
gets SIGTERM and, after a while, SIGKILL. SIGTERM to this process is passed on; its exit code is the command's.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

GRACE_SECONDS = 30
_PR_SET_PDEATHSIG = 1


def main(pid_file: Path, command: list[str]) -> int:
    """Returns the command's exit code; 128 + n when signal n ended it."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, preexec_fn=partial(_die_with, os.getpid()))
    pid_file.write_text(str(process.pid))
    signal.signal(signal.SIGTERM, lambda _number, _frame: process.terminate())
    # Ctrl-C reaches the whole terminal group; the parent decides in which order its children end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_follow_parent, args=(process,), daemon=True).start()
    code = process.wait()
    pid_file.unlink(missing_ok=True)
    return code if code >= 0 else 128 - code


def _die_with(parent: int) -> None:
    """Asks Linux to kill this process, about to become the command, when its parent is killed.

    Without it a kill -9 of the parent would leave, say, a Milvus behind on the directory of the next one.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)


def _follow_parent(process: subprocess.Popen[bytes]) -> None:
    while os.read(0, 1024):
        pass
    process.terminate()
    try:
        process.wait(timeout=GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
