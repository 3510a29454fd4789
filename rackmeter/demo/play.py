"""The demonstration from start to end: servers, this machine, the fleet's month, the invoices.

Whatever happens in between, everything that was started is stopped again.
"""

from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

import psycopg

from pipeline.catalog import Catalog, load
from rackmeter.cli.prices import DEMO, shipped
from rackmeter.cli.processes import Worker
from rackmeter.demo import closing
from rackmeter.demo.after import explained, next_commands
from rackmeter.demo.cast import Cast, Script, cast
from rackmeter.demo.customers import fleet_accounts
from rackmeter.demo.machine import meter_here
from rackmeter.demo.month import Sender, all_alerts, compared, meter_month
from rackmeter.demo.receiver import Receiver
from rackmeter.demo.result import Result
from rackmeter.demo.screen import Screen, Stage
from rackmeter.errors import DependencyError
from rackmeter.fleet.publish import Destination
from rackmeter.key_files import load_vault
from rackmeter.settings import Settings, load_settings
from rackmeter.stack import Stack
from rackmeter.topics import create_topics
from sinks.database import Connection, connect, migrate
from sinks.vault import Vault

FLUSH_MS: Final = "200"
"""Checkpoints of the worker: a person is waiting for the alert."""
POSTGRES: Final = {"synchronous_commit": "off"}
"""Safe for checkpoints: what a crash takes back is read again. Invoices switch it on."""


@dataclass(frozen=True, slots=True)
class Props:
    """What all acts use."""

    script: Script
    settings: Settings
    catalog: Catalog
    stack: Stack
    conn: Connection
    vault: Vault
    receiver: Receiver
    worker: Worker


def play(script: Script, screen: Screen) -> Result:
    """All three acts; returns what was measured."""
    settings = load_settings(data_dir=script.data_dir)
    catalog = load(shipped(DEMO), DEMO)
    with ExitStack() as running:
        with screen.stage("servers", "PostgreSQL and broker") as stage:
            stack = running.enter_context(Stack.start(script.data_dir, postgres_settings=POSTGRES))
            migrate(stack.database_url)
            topics = (settings.topic_reports, settings.topic_changed, settings.topic_dead)
            create_topics(stack.bootstrap, dict.fromkeys(topics, settings.partitions))
            stage.note(f"in {script.data_dir}")
        vault = load_vault(settings.model_copy(update={"database_url": stack.database_url}))
        receiver = running.enter_context(Receiver())
        conn = running.enter_context(connect(stack.database_url, autocommit=True))
        worker = Worker(
            stack, script.data_dir, flush_interval_ms=FLUSH_MS, allow_private_webhooks="true"
        )
        running.enter_context(worker)
        try:
            props = Props(script, settings, catalog, stack, conn, vault, receiver, worker)
            return _acts(props, screen)
        except (psycopg.OperationalError, DependencyError) as error:
            raise explained(error, script.data_dir) from error


def _acts(props: Props, screen: Screen) -> Result:
    script, conn = props.script, props.conn
    with screen.stage("customers", f"Price list, customers, {script.servers} servers") as stage:
        fleet_cast = cast(script, conn, props.vault, props.catalog, props.receiver)
        truth = fleet_cast.truth
        stage.note(f"{truth.reports:,} reports of {script.month} to be sent")
    with screen.stage("this_machine", "This machine, live") as stage:
        machine, alert = meter_here(
            conn,
            props.vault,
            props.settings,
            props.stack.bootstrap,
            props.catalog,
            props.receiver,
            stage,
        )
        stage.note(f"{machine.kernel_bytes:,} bytes on {machine.nic}, {alert.count} alerts")
    with screen.stage("month", f"The fleet's month, {_kills(script.kills)}") as stage:
        place = Destination(
            props.stack.bootstrap, props.settings.topic_reports, props.settings.environment
        )
        sender = Sender(fleet_cast.schedules, fleet_cast.keys, place)
        metered = meter_month(conn, sender, props.worker, truth, script.kills, stage.progress)
        stage.note(f"{truth.reports / metered.seconds:,.0f} reports/s, the kill included")
    with screen.stage("audit", "Ledger against truth") as stage:
        fleet, kill, conservation = compared(conn, truth, metered, script.kills)
        stage.note(f"{kill.figures:,} totals, {kill.lost} lost, {kill.doubled} doubled")
    with screen.stage("invoices", "Reconciling and closing") as stage:
        closed_books = _close(props, fleet_cast, stage)
        alert = all_alerts(conn, props.receiver, alert)
        invoices = closed_books.invoices
        stage.note(
            f"{invoices.count} invoices, {closed_books.reconciliation.checked:,} figures compared"
        )
    line = closing.dearest_line(conn, fleet_cast.period.start)
    return Result(
        seed=script.seed,
        data_dir=str(script.data_dir),
        this_machine=closing.with_invoice(machine, closed_books.own),
        alert=alert,
        fleet=fleet,
        kill=kill,
        conservation=conservation,
        invoices=invoices,
        reconciliation=closed_books.reconciliation,
        seconds=screen.seconds,
        next=next_commands(script.data_dir, invoices.pdf, line),
    )


def _close(props: Props, fleet: Cast, stage: Stage) -> closing.Books:
    """Act three."""
    accounts = fleet_accounts(fleet.machines)
    return closing.close_books(
        props.stack.database_url,
        props.catalog.seller,
        props.script.month,
        accounts,
        props.script.data_dir / "invoices",
        stage.progress,
    )


def _kills(count: int) -> str:
    return f"kill -9 in the middle{f', {count} times' if count > 1 else ''}" if count else "no kill"
