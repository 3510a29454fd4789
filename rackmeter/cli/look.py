"""One look of the doctor's at the ledger: what goes wrong in it is a finding; the rest go on."""

from collections.abc import Callable, Iterable, Iterator

from psycopg import Error, errors

from rackmeter.cli.finding import Finding
from rackmeter.errors import DependencyError, RackmeterError

OWNER = "run it once more with the address of the tables' owner"


def looked(check: str, look: Callable[[], Iterable[Finding]]) -> Iterator[Finding]:
    """What ``look`` found. A login that may not look is told who may: that is no failure."""
    try:
        yield from look()
    except errors.InsufficientPrivilege as error:
        why = f"this login may not look ({_first(error)})"
        yield Finding(check, why, warning=True, why="what is wrong there is not said", todo=OWNER)
    except RackmeterError as error:
        yield Finding(check, str(error), error.exit_code)
    except Error as error:
        yield Finding(check, _first(error), DependencyError.exit_code)


def _first(error: Error) -> str:
    return str(error).strip().partition("\n")[0]
