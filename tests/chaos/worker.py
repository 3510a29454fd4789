"""A worker that kills or stops itself at a step of claiming or checkpointing, when a file says so.

``python -m tests.chaos.worker FOLDER PARENT`` is ``rackmeter run worker`` with a failpoint; what
runs in production has no such switch. A file in the folder holds ``STEP NTH kill|stop``; it is
removed when it acts.
"""

import ctypes
import os
import signal
import sys
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

_PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h
_SIGNALS: Final = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}


def failpoint(folder: Path) -> Callable[[str], None]:
    """Acts when a step that a file names is reached for the nth time since it was written."""
    seen: Counter[Path] = Counter()

    def reached(step: str) -> None:
        for file in folder.iterdir():
            try:
                named, nth, how = file.read_text().split()
            except FileNotFoundError:
                continue
            if step == named:
                seen[file] += 1
                if seen[file] >= int(nth):
                    file.unlink(missing_ok=True)
                    os.kill(os.getpid(), _SIGNALS[how])

    return reached


def arm(file: Path, step: str, nth: int, how: str) -> None:
    """Whole or not at all: a worker may be reading it."""
    fresh = file.parent.with_suffix(f".{file.name}")
    fresh.write_text(f"{step} {nth} {how}")
    fresh.rename(file)


def _between(reached: Callable[[str], None], step: str, pieces: Callable[..., bytes]) -> Any:
    def made(*arguments: Any) -> bytes:
        reached(step)
        return pieces(*arguments)

    return made


def _die_with(parent: int) -> None:
    """Whoever plays may be killed himself."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(1)


def _main(folder: Path, parent: int) -> int:
    _die_with(parent)
    from rackmeter import desk  # noqa: PLC0415 - the module alone is used without them
    from rackmeter.__main__ import main  # noqa: PLC0415
    from sinks import ledger  # noqa: PLC0415
    from sinks.checkpoint import Checkpointer  # noqa: PLC0415

    reached = failpoint(folder)
    setattr(desk, "Checkpointer", partial(Checkpointer, failpoint=reached))  # noqa: B010
    for name, step in (("state_rows", "copy:states"), ("window_rows", "copy:windows")):
        setattr(ledger, name, _between(reached, step, getattr(ledger, name)))
    sys.argv = ["rackmeter", "run", "worker"]
    return main()


if __name__ == "__main__":
    sys.exit(_main(Path(sys.argv[1]), int(sys.argv[2])))
