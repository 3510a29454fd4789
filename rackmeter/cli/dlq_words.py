"""What each reason for a refusal means to a person, and what there is to do."""

from collections.abc import Mapping
from typing import Final

from schemas.verdict import Verdict

TO_DO: Final[Mapping[Verdict, str]] = {
    Verdict.OVERSIZED: "the message is larger than any report: look at who writes to the topic",
    Verdict.MALFORMED: "this is no report: correct or upgrade whatever sent it, or look at who"
    " writes to the topic",
    Verdict.UNKNOWN_VERSION: "the agent is newer than the workers: upgrade them, then retry",
    Verdict.FOREIGN: "the sender uses another message key or partitioner than an agent: correct it",
    Verdict.UNSIGNED: "whoever sent this has no key: give the server's agent its key file, or look"
    " at who writes to the topic",
    Verdict.UNKNOWN_KEY: "register the server (`rackmeter server add`) or give its agent the"
    " current key; retry a report that was signed with a key that is registered by now",
    Verdict.FORGED: "the signature is of another key, topic or environment: compare the agent's key"
    " file, topic and RACKMETER_ENVIRONMENT, or look at who writes to the topic",
    Verdict.CONFLICT: "two agents report as one server, or an old disk image runs again: stop one"
    " of them",
    Verdict.REGRESSION: "a counter fell, which agents never let happen: look at the server; its"
    " next good report makes up for this one",
    Verdict.IMPLAUSIBLE: "a counter gained more than hardware can: look at the server; if the bound"
    " is wrong, correct it and retry",
    Verdict.EXCESSIVE: "the server shows more series or origins than one may: look at it; its next"
    " report after the hour makes up for this one, or retry it then",
    Verdict.QUARANTINED: "the database refused this server's rows: mend what the sentence says,"
    " then retry; its next report makes up for this one",
}

NEVER: Final[Mapping[Verdict, str]] = {
    Verdict.OVERSIZED: "it stays too large",
    Verdict.MALFORMED: "it stays no report",
    Verdict.FOREIGN: "its key and partition stay those of another server",
    Verdict.UNSIGNED: "it stays unsigned, and nobody else can sign it",
    Verdict.FORGED: "its signature is wrong; where the workers' own environment was, the next"
    " report makes up for it",
    Verdict.CONFLICT: "its number was used up by the report that was taken",
    Verdict.REGRESSION: "no counter of its origin will ever be lower than it is",
}
"""Why a retry would come to nothing, for all that are not ``RETRYABLE``."""
