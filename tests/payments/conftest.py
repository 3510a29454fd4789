"""`stripe`: a Stripe of the test's own that fails as it is told; `paying`: a ledger with bills."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from sinks.database import Connection
from tests.fix_api import free_port
from tests.payments.stripe_server import StripeState, serve
from tests.payments.world import World


@pytest.fixture(scope="session")
def localstripe() -> Iterator[int]:
    """Its port; the state is one for all tests of a process, each has customers of its own."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.payments.localstripe_server", str(port)]
    )
    deadline = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            break
        except OSError:
            assert process.poll() is None, "localstripe has ended"
            assert time.monotonic() < deadline, "localstripe does not answer"
            time.sleep(0.05)
    yield port
    process.kill()
    process.wait()


@pytest.fixture
def stripe(localstripe: int) -> Iterator[StripeState]:
    state = StripeState(localstripe)
    server = serve(state)
    yield state
    server.shutdown()
    server.server_close()


@pytest.fixture
def world(billing_url: str, billing: Connection, stripe: StripeState) -> World:
    return World(billing_url, billing, stripe)
