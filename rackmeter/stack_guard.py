"""The process between rackmeter and its embedded servers: it ends them when rackmeter is gone.

Runs alone (standard library only, no other room imported) in a session of its own, so neither a
Ctrl-C nor a closed terminal reaches it. It starts what it is told on stdin, one JSON object a line,
and answers each with one line. When stdin ends or the parent dies, however it dies, it stops every
child and leaves. Should the guard itself be killed, the kernel signals the children
(PR_SET_PDEATHSIG), so that no server outlives the program that wanted it.
"""

import contextlib
import ctypes
import json
import os
import pwd
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

# A child gets this long after each of its stop signals; the last resort is SIGKILL.
STOP_SECONDS = 15.0
POLL_SECONDS = 0.02

# From linux/prctl.h and linux/capability.h; unchanged since they exist.
PR_SET_PDEATHSIG = 1
PR_SET_KEEPCAPS = 8
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
CAP_DAC_OVERRIDE = 1
CAPABILITY_VERSION_3 = 0x20080522

_libc = ctypes.CDLL(None, use_errno=True)


class _CapHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _CapSets(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


def main() -> None:
    """Serve commands until the parent is gone, then stop everything."""
    parent, lock_fd = int(sys.argv[1]), int(sys.argv[2])
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    guard = Guard(lock_fd)
    try:
        for command in commands(parent):
            sys.stdout.write(json.dumps(guard.obey(command)) + "\n")
            sys.stdout.flush()
    except (BrokenPipeError, SystemExit):
        pass
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        guard.stop_all()


def commands(parent: int) -> Iterator[dict[str, Any]]:
    """Yield what comes on stdin; end at its end, or when the parent has died."""
    # A fork of the parent may hold the other end of stdin open, hence the second witness.
    watched: list[int] = [0]
    with contextlib.suppress(OSError, AttributeError):
        watched.append(os.pidfd_open(parent))
    if os.getppid() != parent:
        return
    buffer = b""
    while True:
        ready, _, _ = select.select(watched, [], [])
        data = os.read(0, 65536) if 0 in ready else b""
        if not data:
            return
        *lines, buffer = (buffer + data).split(b"\n")
        yield from map(json.loads, lines)


class Guard:
    """The children by name."""

    def __init__(self, lock_fd: int) -> None:
        self.lock_fd = lock_fd
        self.children: dict[str, subprocess.Popen[bytes]] = {}
        self.specs: dict[str, dict[str, Any]] = {}

    def obey(self, command: dict[str, Any]) -> dict[str, Any]:
        """One command, one answer; a failure is an answer too."""
        name = command["name"]
        try:
            if command["do"] == "start":
                self.start(name, command)
            elif command["do"] == "stop":
                self.stop([name])
        except (OSError, subprocess.SubprocessError) as error:
            return {"error": f"{type(error).__name__}: {error}"}
        child = self.children.get(name)
        return {"pid": child.pid, "code": child.poll()} if child else {"pid": None, "code": None}

    def start(self, name: str, spec: dict[str, Any]) -> None:
        """Start a child; its output goes to its log, the lock stays held while it lives."""
        self.specs[name] = spec
        with Path(spec["log"]).open("wb") as log:
            self.children[name] = subprocess.Popen(
                spec["argv"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env=spec["env"],
                pass_fds=(self.lock_fd,),
                # Safe here: the guard has one thread.
                preexec_fn=partial(become, spec["uid"], spec["override"], spec["stop"][0]),  # noqa: PLW1509
            )

    def stop(self, names: list[str]) -> None:
        """Signal all, then wait for all; each next signal is less polite."""
        alive = [name for name in names if self.children[name].poll() is None]
        for step in range(max((len(self.specs[name]["stop"]) for name in alive), default=0) + 1):
            for name in alive:
                signals = [*self.specs[name]["stop"], signal.SIGKILL]
                self.children[name].send_signal(signals[min(step, len(signals) - 1)])
            alive = self.wait_for(alive)
            if not alive:
                return

    def wait_for(self, names: list[str]) -> list[str]:
        """Return when all have ended, or after STOP_SECONDS; those that have not."""
        deadline = time.monotonic() + STOP_SECONDS
        while names := [name for name in names if self.children[name].poll() is None]:
            if time.monotonic() > deadline:
                break
            time.sleep(POLL_SECONDS)
        return names

    def stop_all(self) -> None:
        """Stop every child and remove what was only theirs."""
        self.stop(list(self.children))
        for spec in self.specs.values():
            for folder in spec["remove"]:
                shutil.rmtree(folder, ignore_errors=True)


def become(uid: int | None, override: bool, death_signal: int) -> None:
    """In the child, before exec: another user if asked, and a signal when the guard dies.

    With `override` the child keeps CAP_DAC_OVERRIDE, so that an ordinary user's process started by
    root reaches a folder below root's own closed ones, without opening those to everybody.
    """
    if uid is not None and uid != os.geteuid():
        if override:
            _prctl(PR_SET_KEEPCAPS, 1)
        os.setgroups([])
        os.setgid(pwd.getpwuid(uid).pw_gid)
        os.setuid(uid)
        if override:
            _keep_dac_override()
    # Last: changing the user clears it.
    guard = os.getppid()
    _prctl(PR_SET_PDEATHSIG, death_signal)
    if os.getppid() != guard:
        os._exit(1)  # the guard died before the kernel knew whom to tell


def _keep_dac_override() -> None:
    mask = 1 << CAP_DAC_OVERRIDE
    sets = (_CapSets * 2)(_CapSets(mask, mask, mask), _CapSets(0, 0, 0))
    header = _CapHeader(CAPABILITY_VERSION_3, 0)
    if _libc.capset(ctypes.byref(header), sets) != 0:
        raise OSError(ctypes.get_errno(), "capset")
    _prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_DAC_OVERRIDE)


def _prctl(option: int, first: int, second: int = 0) -> None:
    if _libc.prctl(option, ctypes.c_ulong(first), ctypes.c_ulong(second), 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


if __name__ == "__main__":
    main()
