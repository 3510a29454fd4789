"""`python -m agents`: the same as `rackmeter agent`."""

import sys

from agents.main import main

sys.exit(main(sys.argv[1:]))
