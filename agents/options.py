"""The agent's flags and their help. argparse alone."""

import argparse
from pathlib import Path

from agents.config import DEFAULT_FILE

_RUN = """\
example:
  rackmeter agent run --bootstrap kafka.example.net:9092 --key-file /etc/rackmeter/agent.key
  kill -USR1 PID    takes a reading at once, besides the schedule
  kill -HUP PID     reads settings and key again

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
_STATUS = """\
example:
  rackmeter agent status
  rackmeter agent status --json | jq .spool

Exit codes: 0 it counts, keeps and delivers · 1 it runs, and something is in its way · 4 none runs.
"""
_ROTATE = """\
example:
  rackmeter server enroll-token ax-017 --renew            # on the server side
  rackmeter agent rotate --url https://metering.example.net:8443 --token-file -

The former key holds for 24 hours more. A running agent takes the new one at once.
"""
KEY_FILE = Path("/etc/rackmeter/agent.key")


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="rackmeter agent",
        description="Meters this machine: NIC bytes, CPU time, used storage, GPU time.",
        epilog="example:\n  rackmeter agent sample",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    commands = made.add_subparsers(
        dest="command", required=True, metavar="run | sample | status | enroll | rotate"
    )
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
    status = _command(commands, "status", "ask the running agent how it is", _STATUS)
    status.add_argument("--json", action="store_true", help="everything it says")
    _add_keys(commands)
    return made


def _add_keys(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """`enroll` and `rotate`: both exchange a token."""
    enroll = _plain(commands, "enroll", "exchange a one-time token for this server's key", _ENROLL)
    rotate = _plain(commands, "rotate", "exchange a one-time token for the next key", _ROTATE)
    for command in (enroll, rotate):
        command.add_argument("--url", required=True, metavar="URL", help="of the API; https")
        command.add_argument(
            "--token-file", required=True, metavar="FILE", help="- is standard input"
        )
        command.add_argument(
            "--ca-file", type=Path, metavar="FILE", help="authority to believe, PEM"
        )
        command.add_argument(
            "--key-file", type=Path, default=KEY_FILE, metavar="FILE", help=f"to write ({KEY_FILE})"
        )
    enroll.add_argument(
        "--config", type=Path, default=DEFAULT_FILE, metavar="FILE",
        help=f"settings to write ({DEFAULT_FILE})",
    )  # fmt: skip
    rotate.add_argument(
        "--state", metavar="DIR", help="of the agent to tell (/var/lib/rackmeter-agent)"
    )


def _plain(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    does: str,
    epilog: str,
) -> argparse.ArgumentParser:
    return commands.add_parser(
        name,
        help=does,
        description=f"{does[0].upper()}{does[1:]}.",
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def _command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    does: str,
    epilog: str,
) -> argparse.ArgumentParser:
    """A command with the options that all who look at the machine have."""
    command = _plain(commands, name, does, epilog)
    command.add_argument(
        "--config", metavar="FILE", help="settings as TOML (/etc/rackmeter/agent.toml)"
    )
    command.add_argument("--server", metavar="ID", help="this server's id (the host name)")
    command.add_argument(
        "--state", metavar="DIR", help="where counters are kept (/var/lib/rackmeter-agent)"
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
