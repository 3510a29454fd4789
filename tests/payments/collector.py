"""Runs `collect` in children that may be killed, forked from one process that has imported it all.

python -m tests.payments.collector URL STRIPE; on stdin a line for each run: the time, and at which
step it kills itself (0: at none). Says the child's id, then its exit code.
"""

import os
import signal
import sys
import warnings
from datetime import datetime, timedelta

from invoicing.collecting.collect import collect
from invoicing.collecting.dunning import Policy
from tests.payments.world import gateway_of


def main(url: str, stripe: str) -> None:
    warnings.simplefilter("ignore")
    for line in sys.stdin:
        at, step = line.split()
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(write)
            os.read(read, 1)  # until whoever asked knows whom to kill
            _run(url, stripe, datetime.fromisoformat(at), int(step))
        sys.stdout.write(f"{child}\n")
        sys.stdout.flush()
        os.close(read)
        os.write(write, b"x")
        os.close(write)
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


def _run(url: str, stripe: str, at: datetime, last: int) -> None:
    steps = 0

    def die(_name: str) -> None:
        nonlocal steps
        steps += 1
        if steps == last:
            os.kill(os.getpid(), signal.SIGKILL)

    gateway = gateway_of(stripe)
    report = collect(
        url, lambda _conn: [gateway], Policy(), clock=lambda: at + timedelta(milliseconds=steps),
        sleep=lambda _seconds: None, step=die,
    )  # fmt: skip
    os._exit(report.exit_code)


if __name__ == "__main__":
    main(*sys.argv[1:])
