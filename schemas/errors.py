"""The failures that reach a person, each with its exit code. Every room may raise them.

One exception carries one sentence: what is wrong, with which value, and what to do. The command
line prints that sentence and leaves with `exit_code`; anything else that escapes is a bug.

      0  done
      1  failed
      2  usage or configuration
      3  a difference was found
      4  a dependency is unreachable: try again
      5  refused: a lock is held, a period is open, a worker was fenced
    130  interrupted
"""

from typing import ClassVar

EXIT_DONE = 0
EXIT_INTERRUPTED = 130


class RackmeterError(Exception):
    """Failed, for a reason that is known and said in one sentence."""

    exit_code: ClassVar[int] = 1


class ConfigError(RackmeterError):
    """A bad setting, argument or catalogue line. Repeating it does not help."""

    exit_code: ClassVar[int] = 2


class DifferenceError(RackmeterError):
    """Two figures that must be equal are not: reconciliation or verification failed."""

    exit_code: ClassVar[int] = 3


class DependencyError(RackmeterError):
    """A server this needs does not answer, or its disk is full. Repeating it later may help."""

    exit_code: ClassVar[int] = 4


class RefusedError(RackmeterError):
    """Possible, but not now: somebody else holds the lock, or the books say no."""

    exit_code: ClassVar[int] = 5
