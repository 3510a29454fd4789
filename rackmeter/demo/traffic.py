"""Real traffic: bytes through a TCP connection to ourselves, in steps that can be watched."""

import socket
import threading
import time
from collections.abc import Iterator
from typing import Final

MB: Final = 1_000_000
_STEP_MB: Final = 20
_STEP_SECONDS: Final = 0.25
_BUFFER: Final = bytes(MB)


def send(megabytes: int) -> Iterator[int]:
    """Send so much over the loopback; yields the megabytes sent so far, after each step."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        sink = threading.Thread(target=_drain, args=(server,), daemon=True)
        sink.start()
        with socket.create_connection(server.getsockname()) as connection:
            done = 0
            while done < megabytes:
                began = time.monotonic()
                step = min(_STEP_MB, megabytes - done)
                for _ in range(step):
                    connection.sendall(_BUFFER)
                done += step
                yield done
                time.sleep(max(0.0, began + _STEP_SECONDS - time.monotonic()))
        sink.join()


def _drain(server: socket.socket) -> None:
    connection, _ = server.accept()
    buffer = bytearray(MB)
    with connection:
        while connection.recv_into(buffer):
            pass
