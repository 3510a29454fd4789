"""The embedded stack: PostgreSQL and a Kafka-compatible broker that live as long as a `with` block.

    with Stack.start(data_dir) as stack:
        stack.database_url, stack.bootstrap

Owns starting, readiness and stopping. Knows nothing of topics, tables or workers. Whatever ends
this process, the servers end with it (stack_guard) and the folder can be started again. The
database keeps its data; the broker forgets its own.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from rackmeter.errors import DependencyError
from rackmeter.kafka import cluster
from rackmeter.key_files import make_master_key
from rackmeter.settings import Settings
from rackmeter.stack_broker import start_broker
from rackmeter.stack_children import Children
from rackmeter.stack_folder import DataFolder, Running
from rackmeter.stack_postgres import check_database, start_postgres
from rackmeter.topics import check_broker


class Stack:
    """Servers that are ready. Made by `start` or `from_settings`, ended by `stop` or `with`."""

    def __init__(
        self,
        *,
        children: Children | None = None,
        folder: DataFolder | None = None,
        database_url: str | None = None,
        bootstrap: str | None = None,
    ) -> None:
        self._children = children
        self._folder = folder
        self._database_url = database_url
        self._bootstrap = bootstrap
        self._postgres_settings: Mapping[str, str] = {}

    @classmethod
    def start(
        cls,
        data_dir: Path,
        *,
        broker: bool = True,
        postgres: bool = True,
        broker_port: int | None = None,
        postgres_settings: Mapping[str, str] | None = None,
    ) -> Self:
        """Start the servers and return when both answer; on any failure nothing is left running."""
        folder = DataFolder(data_dir)
        children = Children(folder.lock_fd, folder.log("guard"))
        folder.release()
        try:
            stack = cls(children=children, folder=folder)
            stack._postgres_settings = postgres_settings or {}
            if broker:
                stack._bootstrap = start_broker(children, folder, broker_port)
            if postgres:
                make_master_key(folder.path)
                stack._database_url = start_postgres(children, folder, stack._postgres_settings)
            stack._announce()
        except BaseException:
            children.close()
            raise
        return stack

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Embedded servers where none is set; the set ones are asked for an answer first."""
        if settings.database_url is not None:
            check_database(settings.database_url)
        if settings.kafka_bootstrap is not None:
            check_broker(cluster(settings))
        if settings.database_url is not None and settings.kafka_bootstrap is not None:
            return cls(database_url=settings.database_url, bootstrap=settings.kafka_bootstrap)
        stack = cls.start(
            settings.data_dir,
            broker=settings.kafka_bootstrap is None,
            postgres=settings.database_url is None,
            broker_port=settings.broker_port,
        )
        stack._database_url = settings.database_url or stack._database_url
        stack._bootstrap = settings.kafka_bootstrap or stack._bootstrap
        return stack

    @property
    def database_url(self) -> str:
        """Where the database is, for psycopg, SQLAlchemy and libpq."""
        if self._database_url is None:
            raise DependencyError("This stack was started without PostgreSQL.")
        return self._database_url

    @property
    def bootstrap(self) -> str:
        """Where the broker is, as host:port."""
        if self._bootstrap is None:
            raise DependencyError("This stack was started without a broker.")
        return self._bootstrap

    def restart_broker(self) -> None:
        """A new, empty broker on the same port: what clients see when a cluster was lost."""
        children, folder = self._embedded()
        children.stop("broker")
        self._bootstrap = start_broker(children, folder, int(self.bootstrap.rsplit(":", 1)[1]))

    def restart_postgres(self) -> None:
        """Stop PostgreSQL orderly and start it again; every connection is lost, no data is."""
        children, folder = self._embedded()
        children.stop("postgres")
        self._database_url = start_postgres(children, folder, self._postgres_settings)

    def stop(self) -> None:
        """Stop what was started; return when it is gone. May be repeated."""
        if self._children is not None:
            self._children.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _embedded(self) -> tuple[Children, DataFolder]:
        if self._children is None or self._folder is None:
            raise DependencyError("These servers are not embedded: they cannot be restarted here.")
        return self._children, self._folder

    def _announce(self) -> None:
        _, folder = self._embedded()
        folder.announce(Running(os.getpid(), self._database_url, self._bootstrap))
