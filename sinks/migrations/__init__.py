"""The tables, as plain SQL files in order; alembic records which of them have run. No Python DDL.

A revision is a file here and a twin of the same name below `versions/` that names its predecessor.
"""

from pathlib import Path

FOLDER = Path(__file__).parent
_REVISIONS = sorted(file.stem for file in FOLDER.glob("*.sql"))
"""Read when this process began: files that an upgrade puts here later are not of its version."""


def revisions() -> list[str]:
    """Names of all revisions, oldest first: the stems of the SQL files."""
    return list(_REVISIONS)


def script(revision: str) -> str:
    """The SQL of a revision, to be run whole and raw: it holds `$$` bodies and per cent signs."""
    return (FOLDER / f"{revision}.sql").read_text(encoding="utf-8")
