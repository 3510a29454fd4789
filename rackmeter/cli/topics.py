"""`rackmeter topics`: the topics of this installation, made and shown."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rackmeter.cli.options import DataDir, DryRun, Json, Yes, confirm, duration_ms, example
from rackmeter.cli.output import document, lines, note, table
from rackmeter.errors import ConfigError

if TYPE_CHECKING:
    from rackmeter.kafka import Cluster
    from rackmeter.settings import Settings
    from rackmeter.topic_plan import Wanted
    from rackmeter.topics import Topic

RETENTION_DAYS_MAX = 3650


def add(app: typer.Typer) -> None:
    """Put the noun into the tree."""
    topics = typer.Typer(help="Topics: create, show, drained.", no_args_is_help=True)
    topics.command(
        "create",
        epilog=example("topics create --dry-run", "topics create --retention 14d --replicas 3"),
    )(create)
    topics.command("show", epilog=example("topics show --json"))(show)
    topics.command(
        "drained",
        epilog=example(
            "topics drained usage.reports.old", "topics drained usage.reports.old --gone --yes"
        ),
    )(drained)
    app.add_typer(topics, name="topics")


def create(
    retention: Annotated[
        str, typer.Option(metavar="TIME", help="How long reports are kept; 3d is the least.")
    ] = "7d",
    replicas: Annotated[
        int | None,
        typer.Option(min=1, max=9, help="Of each partition; without, three or all brokers."),
    ] = None,
    agents: Annotated[
        str | None,
        typer.Option(metavar="PRINCIPAL", help="Who may write reports, as User:ANONYMOUS."),
    ] = None,
    dry_run: DryRun = False,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Make the topics that are missing, with RACKMETER_PARTITIONS partitions.

    One that is there stays as it is: what differs is said, and what would lose, refuse or misdate
    reports ends this with exit code 2, nothing made. With --agents, a principal of Kafka is let
    write to the topic of reports and nothing else.
    """
    from rackmeter.topic_plan import differences, plan  # noqa: PLC0415 - starts slowly
    from rackmeter.topic_rules import RETENTION_MS_MIN  # noqa: PLC0415
    from rackmeter.topics import allow_writing, brokers, create_topics  # noqa: PLC0415

    retention_ms = duration_ms("--retention", retention, days_max=RETENTION_DAYS_MAX)
    if retention_ms < RETENTION_MS_MIN:
        raise ConfigError(f"--retention is {retention}; workers that are away for days need 3d.")
    settings, where = _reached(data_dir)
    wanted = plan(settings, brokers(where), retention_ms, replicas)
    found = _there(where, wanted)
    _refuse(settings, found)
    missing = [one for one in wanted if one.name not in found]
    for one in [] if dry_run else missing:
        create_topics(where, {one.name: one.partitions}, one.config, replicas=one.replicas)
    if agents is not None and not dry_run:
        allow_writing(where, settings.topic_reports, agents)
    kept = {one.name: [*differences(one, found[one.name])] for one in wanted if one.name in found}
    if json:
        document({"dry_run": dry_run, "made": missing, "kept": kept, "writers": agents})
        return
    done = "would be made" if dry_run else "made"
    lines(f"{one.name}: {done}, {_words(one)}" for one in missing)
    lines(f"{name}: is there" for name in kept)
    if agents is not None:
        lines([f"{settings.topic_reports}: {agents} {'would' if dry_run else 'may'} write"])
    for name, different in kept.items():
        if different:
            note(f"{name} stays as it is: {'; '.join(different)}")


def show(data_dir: DataDir = None, json: Json = False) -> None:
    """Show the topics as they are, and what to mend; changes nothing."""
    from rackmeter.topic_plan import plan  # noqa: PLC0415 - starts slowly

    settings, where = _reached(data_dir)
    names = plan(settings, 1, 0, None)
    found = _there(where, names)
    shown = [_shown(settings, found.get(one.name), one.name) for one in names]
    if json:
        document({"topics": shown})
        return
    head = ("topic", "partitions", "replicas", "retention_ms", "dated_by")
    table(head, [[one[name] for name in head] for one in shown])
    for one in shown:
        for sentence in one["advice"]:
            note(f"{one['topic']}: {sentence}")


def drained(
    topic: Annotated[str, typer.Argument(metavar="TOPIC", help="That the ledger was fed from.")],
    gone: Annotated[
        bool, typer.Option("--gone", help="It is deleted: nothing can be left in it.")
    ] = False,
    yes: Yes = False,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Mark a topic that nobody writes to any more as drained: closing waits no more for it.

    Refused (5) while reports are left in it that the ledger does not have. A worker that is started
    on it again takes the mark away.
    """
    from rackmeter.cli.acts import myself  # noqa: PLC0415 - starts slowly
    from rackmeter.cli.ledger import ledger  # noqa: PLC0415
    from sinks.positions import mark_drained  # noqa: PLC0415

    confirm(f"Wait no more for {topic}?", yes=yes)
    ends = {} if gone else _ends(topic, data_dir)
    with ledger(data_dir) as conn:
        marked = mark_drained(conn, topic, myself(), ends)
    if json:
        document({"topic": topic, "marked": marked})
    else:
        said = "is drained: no close waits for it" if marked else "was marked before"
        lines([f"{topic} {said}"])


def _ends(topic: str, data_dir: DataDir) -> dict[int, int]:
    """Where the log of each partition ends now."""
    from rackmeter.topics import describe_topics, log_ends  # noqa: PLC0415 - starts slowly

    _, where = _reached(data_dir)
    return log_ends(where, describe_topics(where, [topic])[topic])


def _reached(data_dir: DataDir) -> tuple["Settings", "Cluster"]:
    from rackmeter.cli.checks import cluster_in_force  # noqa: PLC0415 - starts slowly
    from rackmeter.settings import load_settings  # noqa: PLC0415

    settings = load_settings(data_dir=data_dir)
    where = cluster_in_force(settings)
    if where is None:
        raise ConfigError("Which broker? Set RACKMETER_KAFKA_BOOTSTRAP, or run `rackmeter dev`.")
    return settings, where


def _there(where: "Cluster", wanted: "list[Wanted]") -> "dict[str, Topic]":
    from rackmeter.topics import describe_topics, missing_topics  # noqa: PLC0415 - starts slowly

    names = [one.name for one in wanted]
    missing = missing_topics(where, names)
    there = [name for name in names if name not in missing]
    return describe_topics(where, there) if there else {}


def _advice(settings: "Settings", topic: "Topic") -> "Iterator[Any]":
    from rackmeter.topic_rules import about, about_reports  # noqa: PLC0415 - starts slowly

    yield from about(topic)
    if topic.name == settings.topic_reports:
        yield from about_reports(topic, settings.partitions)


def _refuse(settings: "Settings", found: "dict[str, Topic]") -> None:
    wrong = [
        f"topic {name}: {advice.text}"
        for name, topic in found.items()
        for advice in _advice(settings, topic)
        if advice.exit_code
    ]
    if wrong:
        raise ConfigError(f"Nothing was made. {'; '.join(wrong)}.")


def _shown(settings: "Settings", topic: "Topic | None", name: str) -> dict[str, Any]:
    from rackmeter.topic_rules import retention_ms  # noqa: PLC0415 - starts slowly

    if topic is None:
        empty = dict.fromkeys(("partitions", "replicas", "retention_ms", "dated_by"), "")
        return {"topic": name, **empty, "advice": ["is not there: `rackmeter topics create`"]}
    return {
        "topic": name,
        "partitions": topic.partitions,
        "replicas": topic.replicas,
        "retention_ms": retention_ms(topic),
        "dated_by": topic.timestamp_type,
        "advice": [advice.text for advice in _advice(settings, topic)],
    }


def _words(one: "Wanted") -> str:
    return f"{one.partitions} partitions, {one.replicas} replicas, {_config(one.config)}"


def _config(config: Any) -> str:
    return ", ".join(f"{name}={value}" for name, value in sorted(config.items()))
