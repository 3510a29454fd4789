"""What metering looks up while a checkpoint may be on its way: on a connection of its own."""

from pipeline.heads import Chains, Output
from sinks import ledger
from sinks.database import Connection
from sinks.link import Link
from sinks.series import SeriesSets


class Lookups:
    """For the metering thread."""

    def __init__(self, url: str) -> None:
        self._link = Link(url, "rackmeter lookups", self._forget)
        self._sets = SeriesSets()

    def connection(self) -> Connection:
        """The open connection, outside a transaction; a new one when the last was lost."""
        return self._link.connection()

    def _forget(self, _conn: Connection) -> None:
        self._sets = SeriesSets()

    def close(self) -> None:
        self._link.close()

    def output(self) -> Output:
        """An empty collection that looks a former origin up once."""
        known: dict[tuple[str, str], Chains | None] = {}

        def load_tail(server: str, origin: str) -> Chains | None:
            if (server, origin) not in known:
                conn = self.connection()
                known[server, origin] = ledger.load_tail(conn, server, origin, self._sets)
                conn.rollback()
            return known[server, origin]

        return Output(load_tail)
