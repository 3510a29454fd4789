"""Runs one close in a process of its own; may be told to die at a step. Used by tests.

python -m tests.invoicing.closer URL FOLDER [STEP ACCOUNT [BATCH]]
"""

import os
import signal
import sys
from pathlib import Path

from invoicing.close import BATCH_SCOPES, Progress
from tests.invoicing.scenario import close_month


def main(
    url: str, folder: str, step: str = "", account: str = "", batch: int | str = BATCH_SCOPES
) -> int:
    def die(progress: Progress) -> None:
        if (progress.step, progress.account) == (step, account):
            os.kill(os.getpid(), signal.SIGKILL)

    return close_month(url, folder=Path(folder), batch=int(batch), progress=die).exit_code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
