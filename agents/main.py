"""`rackmeter agent run | sample | status | enroll | rotate`: the command line of the collector.
Light: argparse and the standard library.

Exit codes: 0 done · 1 failed · 2 usage or configuration · 4 no broker (with --require-broker), no
agent (status) · 5 another agent holds the state · 130 interrupted twice.
"""

import argparse
import json
import os
import signal
import sys
import time
import uuid
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from agents import clock, keyfile, loop, signals, table
from agents import status as board
from agents.config import Settings, settings
from agents.integrate import integrate, numbered, report
from agents.log import set_up
from agents.losses import counted_before, with_losses
from agents.naming import named
from agents.options import parser
from agents.origin import start
from agents.publish import Publisher, Target
from agents.read import read_all
from agents.spool import Spool
from agents.state import Store
from schemas.errors import (
    EXIT_DONE,
    EXIT_INTERRUPTED,
    ConfigError,
    DependencyError,
    RackmeterError,
)
from schemas.report import encode

STATE = Path("/var/lib/rackmeter-agent")
RELOADED_TRIES = 60
"""Tenths of a second: it looks at signals every 5 s at most."""


def main(argv: list[str]) -> int:
    try:
        arguments = parser().parse_args(argv)
    except SystemExit as stop:  # --help, or a flag that argparse has explained
        return int(stop.code or 0)
    flags = {name: value for name, value in vars(arguments).items() if value is not None}
    try:
        match arguments.command:
            case "run":
                return _run(flags, os.environ)
            case "sample":
                return _sample(flags, os.environ)
            case "status":
                return _status(flags, os.environ)
            case _:
                return _fetch_key(arguments)
    except RackmeterError as error:
        sys.stderr.write(f"rackmeter agent: {error}\n")
        return error.exit_code
    except BrokenPipeError:
        return EXIT_DONE
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED


def _run(flags: dict[str, object], environ: Mapping[str, str]) -> int:
    chosen, target = _told(flags, environ)
    set_up(chosen.log_format)
    count = flags.get("count")
    store = Store(chosen.state)
    with signals.blocked():
        store.open()
        try:
            spool = Spool(chosen.state / "spool", chosen.spool_bytes_max, chosen.spool_sync_ms)
            publisher = Publisher(target, clock.now, spool, clock.boot_id(chosen.root))
            if flags.get("require_broker"):
                publisher.require_broker()
            agent = loop.begin(chosen, publisher, store, patient=count is None)
            agent.reread = lambda: _told(flags, environ)
            agent.board.open(chosen.state)
            return loop.run(agent, count if isinstance(count, int) else None)
        finally:
            store.close()


def _told(flags: dict[str, object], environ: Mapping[str, str]) -> tuple[Settings, Target]:
    """Settings, and where reports go with which key."""
    chosen = settings(flags, environ)
    if chosen.key_file is None:
        raise ConfigError(
            "reports are signed and no key is given: name the server's key with --key-file FILE "
            '(kid = "…", secret = "…"), or look without sending: rackmeter agent sample'
        )
    key = keyfile.load(chosen.key_file, chosen.server)
    kafka = {"bootstrap.servers": chosen.bootstrap, **chosen.kafka}
    if chosen.kafka_password_file is not None:
        kafka["sasl.password"] = keyfile.own_text(chosen.kafka_password_file).strip()
    return chosen, Target(chosen.topic, chosen.environment, key, kafka)


def _sample(flags: dict[str, object], environ: Mapping[str, str]) -> int:
    """Looks at the saved state and leaves it as it is."""
    chosen = settings(flags, environ)
    sources = loop.sources_of(chosen)
    reading = read_all(sources, clock.now())
    saved, why_lost = loop.load(Store(chosen.state))
    boot_id = clock.boot_id(chosen.root)
    begun = start(saved, reading, chosen.server, boot_id, uuid.uuid4().hex, why_lost)
    reading = with_losses(reading, counted_before(begun.origin), 0, 0)
    after, notes = integrate(begun.origin, reading, loop.observed_ms_max(chosen))
    would_be = report(numbered(after, reading))
    if flags.get("json"):
        stamped = replace(would_be, sent_up_ms=clock.up_ms())
        sys.stdout.write(encode(stamped).decode() + "\n")
    else:
        _, under_their_cards = named(after.names, reading.samples)
        sys.stdout.write(table.text(would_be, replace(reading, samples=under_their_cards)))
        for line in (begun.said, sources.gpus.said, *notes):
            sys.stderr.write(f"{line}\n")
    return EXIT_DONE


def _status(flags: dict[str, object], environ: Mapping[str, str]) -> int:
    found = board.ask(settings(flags, environ).state)
    if flags.get("json"):
        sys.stdout.write(json.dumps(found, indent=2) + "\n")
    else:
        sys.stdout.write(board.text(found, clock.now().at_ms))
    return EXIT_DONE if board.is_well(found) else loop.EXIT_FAILED


def _fetch_key(arguments: argparse.Namespace) -> int:
    from agents.enroll import enroll, rotate  # noqa: PLC0415 - TLS and HTTP cost memory

    source = arguments.token_file
    try:
        token = sys.stdin.read() if source == "-" else Path(source).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{source}: the token cannot be read ({error})") from error
    url, key_file, ca_file = arguments.url, arguments.key_file, arguments.ca_file
    if arguments.command == "enroll":
        done = enroll(url, token.strip(), key_file, arguments.config, ca_file)
    else:
        server, kid = rotate(url, token.strip(), key_file, ca_file)
        told = _told_again(Path(arguments.state or STATE), kid)
        done = f"{server} has key {kid} in {key_file}; {told}"
    sys.stdout.write(f"{done}\n")
    return EXIT_DONE


def _told_again(state: Path, kid: str) -> str:
    """The running agent reads its key again; whether it signs with the new one."""
    try:
        pid = int(board.ask(state)["pid"])
        os.kill(pid, signal.SIGHUP)
        for _ in range(RELOADED_TRIES):
            time.sleep(0.1)
            if board.ask(state)["kid"] == kid:
                return f"agent {pid} signs with it"
    except (DependencyError, OSError) as error:
        return f"no running agent was told: {error}"
    return f"agent {pid} was told and has not taken it: systemctl restart rackmeter-agent"
