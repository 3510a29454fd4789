"""`rackmeter agent run | sample | enroll`: the command line of the collector. Light: argparse and
the standard library.

Exit codes: 0 done · 1 failed · 2 usage or configuration · 4 no broker (with --require-broker) ·
5 another agent holds the state · 130 interrupted twice.
"""

import argparse
import os
import sys
import uuid
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from agents import clock, keyfile, loop, table
from agents.config import DEFAULT_FILE, Settings, settings
from agents.integrate import integrate, numbered, report
from agents.log import set_up
from agents.origin import start
from agents.publish import Publisher, Target
from agents.read import read_all
from agents.state import Store
from schemas.errors import EXIT_DONE, EXIT_INTERRUPTED, ConfigError, RackmeterError
from schemas.report import encode

_RUN = """\
example:
  rackmeter agent run --bootstrap kafka.example.net:9092 --key-file /etc/rackmeter/agent.key
  kill -USR1 PID    takes a reading at once, besides the schedule

Settings also come from RACKMETER_AGENT_SERVER, …_NETWORK_EXCLUDE and so on, and from a TOML file;
a flag wins over the environment, the environment over the file.
"""
_SAMPLE = """\
example:
  rackmeter agent sample --json | python3 -m json.tool
"""
_ENROLL = """\
example:
  rackmeter agent enroll --url https://metering.example.net:8443 --token-file ax-017.token

The token is what `rackmeter server enroll-token` printed, in a file or on the standard input (-).
It is good for one key: if the answer is lost on its way, ask for another token.
"""
KEY_FILE = Path("/etc/rackmeter/agent.key")


def main(argv: list[str]) -> int:
    try:
        arguments = _parser().parse_args(argv)
    except SystemExit as stop:  # --help, or a flag that argparse has explained
        return int(stop.code or 0)
    flags = {name: value for name, value in vars(arguments).items() if value is not None}
    try:
        if arguments.command == "run":
            return _run(flags, os.environ)
        if arguments.command == "enroll":
            return _enroll(arguments)
        return _sample(flags, os.environ)
    except RackmeterError as error:
        sys.stderr.write(f"rackmeter agent: {error}\n")
        return error.exit_code
    except BrokenPipeError:
        return EXIT_DONE
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED


def _run(flags: dict[str, object], environ: Mapping[str, str]) -> int:
    chosen = settings(flags, environ)
    target = _target(chosen)
    set_up(chosen.log_format)
    count = flags.get("count")
    store = Store(chosen.state)
    with loop.blocked_signals():
        store.open()
        try:
            publisher = Publisher(target, clock.now)
            if flags.get("require_broker"):
                publisher.require_broker()
            agent = loop.begin(chosen, publisher, store)
            return loop.run(agent, count if isinstance(count, int) else None)
        finally:
            store.close()


def _target(chosen: Settings) -> Target:
    if chosen.key_file is None:
        raise ConfigError(
            "reports are signed and no key is given: name the server's key with --key-file FILE "
            '(kid = "…", secret = "…"), or look without sending: rackmeter agent sample'
        )
    key = keyfile.load(chosen.key_file, chosen.server)
    kafka = {"bootstrap.servers": chosen.bootstrap, **chosen.kafka}
    return Target(chosen.topic, chosen.environment, key, kafka)


def _sample(flags: dict[str, object], environ: Mapping[str, str]) -> int:
    """Looks at the saved state and leaves it as it is."""
    chosen = settings(flags, environ)
    sources = loop.sources_of(chosen)
    reading = read_all(sources, clock.now())
    saved, why_lost = loop.load(Store(chosen.state))
    boot_id = clock.boot_id(chosen.root)
    begun = start(saved, reading, chosen.server, boot_id, uuid.uuid4().hex, why_lost)
    after, notes = integrate(begun.origin, reading, loop.observed_ms_max(chosen))
    would_be = report(numbered(after, reading))
    if flags.get("json"):
        stamped = replace(would_be, sent_up_ms=clock.up_ms())
        sys.stdout.write(encode(stamped).decode() + "\n")
    else:
        sys.stdout.write(table.text(would_be, reading))
        for line in (begun.said, sources.gpus.said, *notes):
            sys.stderr.write(f"{line}\n")
    return EXIT_DONE


def _enroll(arguments: argparse.Namespace) -> int:
    from agents.enroll import enroll  # noqa: PLC0415 - TLS and HTTP cost an agent that runs memory

    source = arguments.token_file
    try:
        token = sys.stdin.read() if source == "-" else Path(source).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{source}: the token cannot be read ({error})") from error
    done = enroll(
        arguments.url, token.strip(), arguments.key_file, arguments.config, arguments.ca_file
    )
    sys.stdout.write(f"{done}\n")
    return EXIT_DONE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rackmeter agent",
        description="Meters this machine: NIC bytes, CPU time, used storage, GPU time.",
        epilog="example:\n  rackmeter agent sample",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="run | sample | enroll")
    run = _command(commands, "run", "meter this machine and send reports until told to stop", _RUN)
    run.add_argument("--bootstrap", metavar="HOST:PORT", help="Kafka brokers (127.0.0.1:9092)")
    run.add_argument("--topic", help="where reports go (usage.reports)")
    run.add_argument(
        "--environment", help="part of the signature; the workers' must be the same (dev)"
    )
    run.add_argument(
        "--key-file", metavar="FILE", help="TOML or JSON with kid and secret; required"
    )
    run.add_argument("--interval", metavar="SECONDS", help="time between reports (60)")
    run.add_argument("--count", type=_positive, metavar="N", help="stop after N reports")
    run.add_argument(
        "--require-broker", action="store_true", help="exit 4 when no broker answers at the start"
    )
    run.add_argument("--log-format", metavar="plain|json", help="log lines on stderr (plain)")
    sample = _command(
        commands, "sample", "print the report that would be sent, and send nothing", _SAMPLE
    )
    sample.add_argument("--json", action="store_true", help="the report as it goes over the wire")
    _add_enroll(commands)
    return parser


def _add_enroll(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    does = "exchange a one-time token for this server's key"
    command = commands.add_parser(
        "enroll", help=does, description=f"{does[0].upper()}{does[1:]}.", epilog=_ENROLL,
        formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False,
    )  # fmt: skip
    command.add_argument("--url", required=True, metavar="URL", help="of the API; https")
    command.add_argument("--token-file", required=True, metavar="FILE", help="- is standard input")
    command.add_argument("--ca-file", type=Path, metavar="FILE", help="authority to believe, PEM")
    command.add_argument(
        "--key-file", type=Path, default=KEY_FILE, metavar="FILE", help=f"to write ({KEY_FILE})"
    )
    command.add_argument(
        "--config", type=Path, default=DEFAULT_FILE, metavar="FILE",
        help=f"settings to write ({DEFAULT_FILE})",
    )  # fmt: skip


def _command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    does: str,
    epilog: str,
) -> argparse.ArgumentParser:
    """A command with the options that both have."""
    command = commands.add_parser(
        name,
        help=does,
        description=f"{does[0].upper()}{does[1:]}.",
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    command.add_argument(
        "--config", metavar="FILE", help="settings as TOML (/etc/rackmeter/agent.toml)"
    )
    command.add_argument("--server", metavar="ID", help="this server's id (the host name)")
    command.add_argument(
        "--state", metavar="DIR", help="where counters are kept (/var/lib/rackmeter/agent)"
    )
    command.add_argument(
        "--loopback", action="store_const", const=True, dest="network.loopback", help="meter lo too"
    )
    command.add_argument(
        "--root", metavar="DIR", help="read DIR/proc and DIR/sys, a captured tree (/)"
    )
    return command


def _positive(text: str) -> int:
    if text.isascii() and text.isdigit() and int(text) > 0:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
