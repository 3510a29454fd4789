"""A call into a library that may never return, bounded in time.

Where a GPU hangs, NVML hangs with it, and no signal ends that. So one thread makes the calls; a
call that is not back in time is left alone, and no other is made until it is.
"""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

Answer = TypeVar("Answer")


class HangsError(Exception):
    """It did not answer in time, or an earlier call still has not."""


class Bounded(Generic[Answer]):
    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._thread: threading.Thread | None = None

    def __call__(self, call: Callable[[], Answer]) -> Answer:
        """What it returns or raises, or HangsError."""
        if self._thread is not None and self._thread.is_alive():
            raise HangsError
        answers: list[Answer] = []
        errors: list[BaseException] = []

        def run() -> None:
            try:
                answers.append(call())
            except BaseException as error:  # handed to the caller, whatever it is
                errors.append(error)

        self._thread = threading.Thread(target=run, daemon=True, name="gpu")
        self._thread.start()
        self._thread.join(self._timeout_s)
        if errors:
            raise errors[0]
        if not answers:
            raise HangsError
        return answers[0]
