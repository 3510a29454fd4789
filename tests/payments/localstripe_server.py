"""Runs localstripe on a port of the loopback, in memory alone.

python -m tests.payments.localstripe_server PORT
"""

import sys

from aiohttp import web
from localstripe.resources import store
from localstripe.server import app


def main(port: int) -> None:
    store.dump_to_disk = lambda: None
    web.run_app(app, host="127.0.0.1", port=port, print=lambda *_: None, access_log=None)


if __name__ == "__main__":
    main(int(sys.argv[1]))
