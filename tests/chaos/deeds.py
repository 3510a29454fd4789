"""Does what a schedule says to workers, servers and connections."""

import asyncio
import random
import time
from dataclasses import dataclass
from typing import Final

from tests.chaos.crew import Crew
from tests.chaos.schedule import Fault, Kind
from tests.chaos.servers import Servers

PATIENCE_S, CLAIM_PATIENCE_S = 15.0, 3.0
"""How long a step is waited for; a claim comes only with a rebalance."""
STORM_S: Final = 5.0
EACH_PIECE_S: Final = 0.1


@dataclass
class Deeds:
    """Upon whom."""

    crew: Crew
    there: Servers
    chance: random.Random

    async def do(self, fault: Fault) -> bool:
        """Whether it happened: a step may not be reached."""
        crew, there, seconds = self.crew, self.there, fault.lasts_ms / 1000
        patience_s = CLAIM_PATIENCE_S if fault.step.startswith("claim") else PATIENCE_S
        match fault.kind:
            case Kind.CRASH:
                return await crew.crash(fault.worker, fault.step, fault.nth, patience_s)
            case Kind.FREEZE_AT:
                return await crew.freeze_at(
                    fault.worker, fault.step, fault.nth, seconds, PATIENCE_S
                )
            case Kind.KILL:
                await crew.kill(fault.worker)
            case Kind.FREEZE:
                await crew.freeze(fault.worker, seconds)
            case Kind.STORM:
                await self._storm(seconds)
            case Kind.BROKER_KILL:
                await there.kill_broker(seconds)
            case Kind.DATABASE_STOP:
                await there.stop_database(seconds)
            case _:
                await self._disturb(fault.kind, seconds)
        return True

    async def _disturb(self, kind: Kind, seconds: float) -> None:
        """A connection, not a process."""
        of_broker = kind.startswith("broker")
        proxy = self.there.to_broker if of_broker else self.there.to_database
        match kind.partition(" ")[2]:
            case "stall":
                await proxy.stall(seconds)
            case "delay":
                await proxy.delay(seconds, EACH_PIECE_S)
            case "deaf":
                await proxy.deafen(seconds)
            case _:
                proxy.reset()

    async def _storm(self, seconds: float) -> None:
        """One more worker, asked to leave or killed after five seconds, and the next one."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            guest = await self.crew.spawn(self.crew.size)
            await asyncio.sleep(STORM_S)
            if guest.returncode is None:
                (guest.kill if self.chance.random() < 0.5 else guest.terminate)()
            await guest.wait()
