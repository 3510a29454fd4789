"""`python -m agents`: the same as `rackmeter agent`."""

import sys

from agents.main import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
