"""`rackmeter usage capture` and `replay`: a topic into a file, and a file into a topic."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rackmeter.cli.options import DataDir, Json, example
from rackmeter.cli.output import document, note
from rackmeter.cli.progress import Progress
from rackmeter.errors import ConfigError

if TYPE_CHECKING:
    from rackmeter.kafka import Cluster

Bootstrap = Annotated[
    str | None, typer.Option(metavar="HOST:PORT", help="The broker; else the setting.")
]
Topic = Annotated[str | None, typer.Option(metavar="NAME", help="The topic; else the setting.")]
REPLAY = """\
Send the messages of a capture to a topic again.

Key, body, headers and order of each key are kept; ts_ms becomes the message's time stamp. A topic
with message.timestamp.type=LogAppendTime stamps them with its own time instead: readings are then
dated by when they were replayed, minus how long they had waited when they were first sent, and
keys are judged by that time too. Replay into a topic with CreateTime to keep the times; Kafka
deletes from it what is older than its retention.ms at once, so set that to -1 for old captures.

Signatures cover the topic's name and the environment: a worker that reads another topic, or is in
another environment, refuses them all.
"""


def add(usage: typer.Typer) -> None:
    """Put the verbs below the noun."""
    usage.command(
        "capture",
        epilog=example(
            "usage capture --out reports.ndjson.gz",
            "usage capture --out part.ndjson --from 0:1000 --from 1:0 --to 0:2000 --to 1:0",
        ),
    )(capture)
    usage.command(
        "replay",
        help=REPLAY,
        epilog=example("usage replay reports.ndjson --bootstrap kafka:9092 --topic usage.reports"),
    )(replay)


def capture(
    out: Annotated[
        Path, typer.Option(metavar="FILE", help="Write there; compressed when it ends in .gz.")
    ],
    since: Annotated[
        list[str] | None,
        typer.Option(
            "--from",
            metavar="PARTITION:OFFSET",
            help="First offset; repeat it for more partitions. The start of the log if not given.",
        ),
    ] = None,
    until: Annotated[
        list[str] | None,
        typer.Option(
            "--to",
            metavar="PARTITION:OFFSET",
            help="First offset not to read; the end of the log, as it is now, if not given.",
        ),
    ] = None,
    bootstrap: Bootstrap = None,
    topic: Topic = None,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Write the messages of a topic to a file, as `usage meter` and `usage replay` read it.

    Partition after partition, with offsets and time stamps; nothing is changed in the topic.
    """
    from rackmeter import tape  # noqa: PLC0415 - starts slowly
    from rackmeter.capture import write_capture  # noqa: PLC0415

    where, name = _topic(bootstrap, topic, data_dir)
    progress = Progress("captured")
    messages = tape.capture(where, name, _offsets("--from", since), _offsets("--to", until))
    count = write_capture(out, progress.each(messages))
    if json:
        document({"file": str(out), "topic": name, "messages": count})
    else:
        note(f"{count:,} messages of {name} in {out}")


def replay(
    reports: Annotated[Path, typer.Argument(metavar="REPORTS", help="What `capture` wrote.")],
    bootstrap: Bootstrap = None,
    topic: Topic = None,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Send a capture to a topic (the text of the page is REPLAY)."""
    from rackmeter import tape  # noqa: PLC0415 - starts slowly
    from rackmeter.capture import read_capture  # noqa: PLC0415

    where, name = _topic(bootstrap, topic, data_dir)
    count = tape.replay(read_capture(reports), where, name, Progress("sent"))
    if json:
        document({"file": str(reports), "topic": name, "messages": count})
    else:
        note(f"{count:,} messages sent to {name}")


def _topic(
    bootstrap: str | None, topic: str | None, data_dir: Path | None
) -> "tuple[Cluster, str]":
    """The broker that is set, else that of a running `rackmeter dev`; and the topic."""
    from rackmeter.kafka import cluster  # noqa: PLC0415 - starts slowly
    from rackmeter.settings import load_settings  # noqa: PLC0415
    from rackmeter.stack_folder import running  # noqa: PLC0415

    settings = load_settings(kafka_bootstrap=bootstrap, topic_reports=topic, data_dir=data_dir)
    stack = running(settings.data_dir)
    return cluster(settings, stack.bootstrap if stack else None), settings.topic_reports


def _offsets(option: str, found: list[str] | None) -> dict[int, int]:
    offsets: dict[int, int] = {}
    for text in found or ():
        part, _, offset = text.partition(":")
        if not (part.isdecimal() and offset.isdecimal()):
            raise ConfigError(f"{option} is {text}; write PARTITION:OFFSET, as 0:1000.")
        if int(part) in offsets:
            raise ConfigError(f"{option} names partition {part} twice.")
        offsets[int(part)] = int(offset)
    return offsets
