"""`python -m invoicing FILE...`: verifies invoices where nothing but Python is installed.

JSON and bundles; a PDF is read where pypdf is, its page compared where typst is. Exit codes are
those of `rackmeter invoice verify`.
"""

import sys
from pathlib import Path

from invoicing.verify import verify
from schemas.errors import DifferenceError, RackmeterError

USAGE = "usage: python -m invoicing FILE...   JSON, PDF or bundle of an invoice\n"


def main() -> int:
    """Prints what does not agree; returns the exit code."""
    names = sys.argv[1:]
    if not names or "--help" in names:
        sys.stdout.write(USAGE)
        return 0 if names else 2
    bad = 0
    for name in names:
        try:
            findings = verify(Path(name))
        except RackmeterError as error:
            sys.stderr.write(f"{error}\n")
            return error.exit_code
        said = "does not agree" if findings else "agrees in everything"
        sys.stdout.write(f"{name}: {said}\n" + "".join(f"  {one}\n" for one in findings))
        bad += bool(findings)
    return DifferenceError.exit_code if bad else 0


if __name__ == "__main__":
    sys.exit(main())
