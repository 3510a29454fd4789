"""The failures that reach a person, each with its exit code. Every room may raise them; nothing is imported here.

One exception carries one sentence: what is wrong, with which value, and what to do. The command line
prints that sentence and leaves with `exit_code`; anything else that escapes is a bug and shows itself.

    0  done                          4  a dependency is unreachable: try again
    1  failed                        5  refused: a lock is held, a period is open, a worker was fenced
    2  usage or configuration      130  interrupted
    3  a difference was found
"""

from typing import ClassVar

EXIT_DONE = 0
EXIT_INTERRUPTED = 130


class RackmeterError(Exception):
    """Failed, for a reason that is known and said in one sentence."""

    exit_code: ClassVar[int] = 1


class ConfigError(RackmeterError):
    """What was asked for cannot be: a bad setting, argument or catalogue line. Repeating it does not help."""

    exit_code: ClassVar[int] = 2


class DifferenceError(RackmeterError):
    """Two figures that must be equal are not: a reconciliation or a verification found a difference."""

    exit_code: ClassVar[int] = 3


class DependencyError(RackmeterError):
    """A server this needs does not answer, or its disk is full. Repeating it later may help."""

    exit_code: ClassVar[int] = 4


class RefusedError(RackmeterError):
    """Possible, but not now: somebody else holds the lock, or the books say no."""

    exit_code: ClassVar[int] = 5
