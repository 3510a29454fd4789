"""Signals are never handled in the middle of something: they are blocked, and fetched between
steps.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

STOP = (signal.SIGTERM, signal.SIGINT)
SIGNALS = (*STOP, signal.SIGUSR1, signal.SIGHUP)


@contextmanager
def blocked() -> Iterator[None]:
    """Before any thread of the Kafka client exists, so that they all inherit it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def pending(timeout_s: float) -> signal.Signals | None:
    """The next signal sent to the agent, waiting for it at most so long."""
    caught = signal.sigtimedwait(SIGNALS, timeout_s)
    return signal.Signals(caught.si_signo) if caught else None
