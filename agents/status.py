"""How the agent is, for whoever asks: a Unix socket in the state folder that answers with one JSON
document and reads nothing. No port, and nothing that can be changed through it.

The loop shows a document at every step; a thread hands out the last one, so a loop that hangs is
seen by the document's age.
"""

import json
import os
import socket
import threading
from pathlib import Path
from typing import Any, Final

from agents.clock import Now
from agents.config import Settings
from agents.integrate import Origin
from agents.log import log
from agents.publish import Publisher
from agents.spool import Spool
from schemas.errors import DependencyError

SOCKET: Final = "status.sock"
TIMEOUT_S: Final = 5.0


class Board:
    """The last document shown, and who may read it: the agent's own user, and root."""

    def __init__(self) -> None:
        self._shown = b"{}"
        self._listener: socket.socket | None = None

    def show(self, document: dict[str, Any]) -> None:
        self._shown = json.dumps(document).encode() + b"\n"

    def open(self, folder: Path) -> None:
        """An agent that cannot be asked still meters."""
        try:
            (folder / SOCKET).unlink(missing_ok=True)
            listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
            folder_fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                listener.bind(_short(folder_fd))
            finally:
                os.close(folder_fd)
            (folder / SOCKET).chmod(0o600)
            listener.listen(8)
        except OSError as error:
            log.warning("`agent status` will not work: %s", error)
            return
        self._listener = listener
        threading.Thread(target=self._serve, args=(listener,), daemon=True).start()

    def close(self) -> None:
        if self._listener is not None:
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread
            self._listener.close()

    def _serve(self, listener: socket.socket) -> None:
        while True:
            try:
                asking, _ = listener.accept()
            except OSError:
                return
            with asking:
                asking.settimeout(TIMEOUT_S)
                try:
                    asking.sendall(self._shown)
                except OSError:
                    continue


def ask(folder: Path) -> dict[str, Any]:
    """The document of the agent that runs on this state folder."""
    try:
        folder_fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
                asking.settimeout(TIMEOUT_S)
                asking.connect(_short(folder_fd))
                with asking.makefile("rb") as answer:
                    return dict(json.loads(answer.read()))
        finally:
            os.close(folder_fd)
    except PermissionError as error:
        raise DependencyError(f"{folder}/{SOCKET} is the agent's own: ask as root") from error
    except (OSError, ValueError) as error:
        raise DependencyError(
            f"no agent answers in {folder} ({error}): start it (systemctl start rackmeter-agent), "
            "or name its folder with --state"
        ) from error


def snapshot(
    publisher: Publisher, origin: Origin, settings: Settings, unsaved: str, now: Now
) -> dict[str, Any]:
    """``unsaved``: why the state cannot be saved, while it cannot."""
    spool, last = publisher.spool, publisher.acknowledged
    return {
        "at_ms": now.at_ms,
        "pid": os.getpid(),
        "server": origin.server,
        "origin": origin.origin,
        "interval_ms": settings.interval_ms,
        "reading": {"seq": origin.seq, "at_ms": origin.at_ms, "series": len(origin.shown)},
        "unsaved": unsaved,
        "spool": {
            "reports": spool.waiting,
            "bytes": spool.size,
            "bytes_max": spool.bytes_max,
            "thinned": spool.thinned,
            "lost_bytes": spool.lost,
            "failing": spool.failing,
        },
        "acknowledged": last
        and {
            "origin": last.origin,
            "seq": last.seq,
            "read_at_ms": last.at_ms,
            "at_ms": publisher.acknowledged_at_ms,
        },
        "clock_ahead_ms": publisher.clock_ahead_ms,
        "refused": publisher.refused,
        "broker": publisher.target.kafka.get("bootstrap.servers"),
        "topic": publisher.target.topic,
        "kid": publisher.target.key.kid,
    }


def is_well(document: dict[str, Any]) -> bool:
    """Whether it counts, keeps and delivers."""
    return not (document["unsaved"] or document["refused"] or document["spool"]["failing"])


def text(document: dict[str, Any], at_ms: int) -> str:
    """For a person, seen ``at_ms``."""
    spool, reading, last = document["spool"], document["reading"], document["acknowledged"]
    size, most = spool["bytes"] / 2**20, spool["bytes_max"] >> 20
    given_way = (
        f"; {spool['thinned']} gave way, totals are not affected" if spool["thinned"] else ""
    )
    ahead_ms = document["clock_ahead_ms"]
    rows = {
        "server": f"{document['server']} · key {document['kid']} · pid {document['pid']}",
        "last reading": f"report {reading['seq']}, {reading['series']} series, "
        + _ago(at_ms - reading["at_ms"]),
        "acknowledged": f"report {last['seq']}, {_ago(at_ms - last['at_ms'])}"
        if last
        else "none yet",
        "to": f"{document['topic']} at {document['broker']}",
        "waiting": f"{spool['reports']} reports, {size:.1f} of {most} MiB{given_way}",
        "clock": "not known: the broker does not date reports"
        if ahead_ms is None
        else f"{ahead_ms / 1000:+.1f} s against the broker's",
        "state": document["unsaved"] or spool["failing"] or "saved",
        "broker": document["refused"] or ("takes reports" if last else "has not answered yet"),
    }
    width = max(map(len, rows))
    lines = [f"{name:<{width}}  {said}\n" for name, said in rows.items()]
    age_ms = at_ms - document["at_ms"]
    if age_ms > 60_000:
        lines.append(f"The agent has not moved for {_ago(age_ms).removesuffix(' ago')}.\n")
    return "".join(lines)


def spool_said(spool: Spool) -> str:
    """A sentence where the spool is not as it should be."""
    if spool.failing:
        why = f"the spool cannot be written ({spool.failing})"
        return f"{why}: reports wait in memory, totals are not affected"
    if spool.thinned:
        return (
            f"the spool is full ({spool.bytes_max >> 20} MiB): older reports give way; totals are "
            "not affected, only when within the outage is known less finely"
        )
    if spool.lost:
        return (
            f"{spool.lost} bytes of the spool could not be read: their reports are dropped, totals "
            "are not affected"
        )
    return ""


def _short(folder_fd: int) -> str:
    """A path that fits a socket's 107 bytes, however deep the folder."""
    return f"/proc/self/fd/{folder_fd}/{SOCKET}"


def _ago(ms: int) -> str:
    seconds = max(0, ms) // 1000
    if seconds < 120:
        return f"{seconds} s ago"
    return f"{seconds // 60} min ago" if seconds < 7200 else f"{seconds // 3600} h ago"
