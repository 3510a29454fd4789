"""Finding the servers whose rows the database refuses, by bisecting a checkpoint."""

import contextlib
from collections.abc import Callable, Iterable, Set
from copy import copy
from dataclasses import replace
from typing import Final

import numpy as np
import psycopg
from psycopg import errors

from pipeline.heads import Block, Objects, Output
from pipeline.lanes import Sealed
from pipeline.records import Int64s
from pipeline.shelves import States
from schemas.verdict import Verdict
from sinks.database import Connection

PROBES_MAX: Final = 200
"""Six servers of 20,000. More are no matter of single servers: rather stop than guess for hours."""
Probe = Callable[[Sealed], psycopg.Error | None]
"""Writes a checkpoint and takes it back; the database's refusal, if it has one."""


def refuses(error: BaseException) -> bool:
    """Whether the database refuses what a row holds (SQLSTATE 22 and 23): repeating is of no use.

    Not a duplicate key. Windows, anchors and letters are inserted once, so that would be a bug in
    what counts usage once, and must stop the worker whosever row it is. Nor what a row refers to:
    that is the ledger's, no server's.
    """
    kinds = (psycopg.DataError, psycopg.IntegrityError)
    ours = (errors.UniqueViolation, errors.ForeignKeyViolation)
    return isinstance(error, kinds) and not isinstance(error, ours)


def refused_servers(sealed: Sealed, probe: Probe) -> dict[str, str]:
    """Server → the database's words, of each whose rows it refuses.

    Empty when it is no server's matter: what belongs to none is refused too, or only all together,
    or too many are.
    """
    if probe(replace(sealed, states=[], out=_letters(sealed.out))) is not None:
        return {}
    found: dict[str, str] = {}
    waiting = [sorted(_servers(sealed))]
    for _ in range(PROBES_MAX):
        if not waiting:
            return found
        some = waiting.pop()
        error = probe(only(sealed, set(some)))
        if error is not None and len(some) == 1:
            found[some[0]] = words(error)
        elif error is not None:
            half = len(some) // 2
            waiting += [some[half:], some[:half]]
    return found if not waiting else {}


def flag_refused(conn: Connection, part: int, servers: Iterable[str]) -> None:
    """Mark them for a look, one by one: the database may refuse that too. Commits."""
    for server in servers:
        with contextlib.suppress(psycopg.DatabaseError), conn.transaction():
            conn.execute(
                "UPDATE server_state SET flagged = %s WHERE part = %s AND server_id = %s",
                (Verdict.QUARANTINED.value, part, server),
            )
    conn.commit()


def only(sealed: Sealed, servers: Set[str]) -> Sealed:
    """The rows of some servers, and no dead letters."""
    out = sealed.out
    states = [_only_states(states, servers) for states in sealed.states]
    finished = [_only_block(block, servers) for block in out.finished]
    return replace(
        sealed,
        states=[states for states in states if len(states.server)],
        out=Output(
            out.load_tail,
            finished=[block for block in finished if len(block.server)],
            late=[row for row in out.late if row.server in servers],
            anchors=[row for row in out.anchors if row.server in servers],
            tails={key: chains for key, chains in out.tails.items() if key[0] in servers},
        ),
    )


def words(error: psycopg.Error) -> str:
    """What it says in one line, without the row."""
    return error.diag.message_primary or str(error).partition("\n")[0]


def _letters(out: Output) -> Output:
    return Output(out.load_tail, dead=out.dead)


def _servers(sealed: Sealed) -> set[str]:
    out = sealed.out
    found = {server for states in sealed.states for server in states.server}
    found |= {server for block in out.finished for server in block.server}
    found |= {server for server, _ in out.tails}
    found |= {row.server for row in out.late}
    return found | {row.server for row in out.anchors}


def _only_states(states: States, servers: Set[str]) -> States:
    keep = _rows(states.server, servers)
    made = copy(states)
    for name, column in vars(states).items():
        setattr(made, name, column[keep])
    return made


def _only_block(block: Block, servers: Set[str]) -> Block:
    keep = _rows(block.server, servers)
    return Block(
        block.server[keep], block.win_ms[keep], block.names[keep], block.qty[keep],
        block.cover_ms[keep],
    )  # fmt: skip


def _rows(names: Objects, servers: Set[str]) -> Int64s:
    return np.array([i for i, name in enumerate(names) if name in servers], np.int64)
