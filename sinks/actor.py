"""Who acts in this process and why, for acts that do not say it themselves. No SQL.

The command line sets it once it has read its arguments; a service leaves it empty, and its acts are
those of its login or of whom they name.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(slots=True)
class Ambient:
    """Of the whole process, its threads included: a command acts for one person."""

    actor: str = ""
    reason: str = ""


AMBIENT: Final = Ambient()
