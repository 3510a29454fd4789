"""What the doctor says of one thing. Dumb data."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. ``exit_code`` is 0 where it is as it must be, or may be.

    ``found`` is what is; where that is not well, ``why`` says what follows from it and ``todo``
    what mends it, unless ``found`` says both by itself.
    """

    check: str
    found: str
    exit_code: int = 0
    warning: bool = False
    why: str = ""
    todo: str = ""
