"""One alert as a mail, through the operator's own mail server.

`Message-ID` is made of the alert's id, so a repetition after a crash is the same message to whoever
drops those. What the server says is kept out of our records, but for its code.
"""

import smtplib
import socket
import ssl
import threading
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from pathlib import Path
from typing import Final, Literal

from sinks.egress import SendFailedError
from sinks.mail_words import Letter

WAIT_S: Final = 12
"""For one answer of the server; two of them pass until the greeting is there."""
TALK_S: Final = 25
"""From the greeting to the end, however slowly it answers: both fit into the lease."""
POLICY: Final = SMTP.clone(cte_type="7bit")
"""Every server takes it: 8 bits are only for one that offers 8BITMIME (RFC 6152)."""
Tls = Literal["starttls", "tls", "none"]


class MailRefusedError(Exception):
    """The server will not take this mail, now or later."""


@dataclass(frozen=True, slots=True)
class MailServer:
    """Where mail is handed in, and from whom it is."""

    host: str
    port: int
    tls: Tls
    sender: str
    user: str | None = None
    password: str | None = None
    ca_file: Path | None = None


def message(sender: str, to: str, letter: Letter, alert_id: str, at: datetime) -> EmailMessage:
    """The mail: text first, HTML as its alternative."""
    mail = EmailMessage(policy=POLICY)
    mail["From"], mail["To"], mail["Subject"] = sender, to, letter.subject
    mail["Date"] = format_datetime(at)
    domain = mail["From"].addresses[0].domain
    mail["Message-ID"] = f"<{alert_id}@{domain}>"
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office answers
    mail.set_content(letter.text)
    mail.add_alternative(letter.html, subtype="html")
    mail["Content-Language"] = letter.language  # last: what makes parts moves or drops Content-*
    return mail


def check_address(text: str) -> str:
    """An address as it is entered. Raises ValueError where it is none."""
    wrong = ValueError(f"{text!r} is no mail address; write billing@customer.example")
    try:
        found = Address(addr_spec=text)
    except (ValueError, IndexError, MessageError):
        raise wrong from None
    if not found.domain or not found.username or any(c in text for c in "\r\n"):
        raise wrong
    return found.addr_spec


def send_mail(server: MailServer, mail: EmailMessage) -> None:
    """Raises MailRefusedError where no repetition helps, SendFailedError for everything else."""
    try:
        _hand_in(server, mail)
    except smtplib.SMTPRecipientsRefused as error:
        code = next(iter(error.recipients.values()))[0]
        raise _failed(code, "the recipient") from None
    except smtplib.SMTPDataError as error:
        raise _failed(error.smtp_code, "the mail") from None
    except smtplib.SMTPResponseException as error:  # of the server or our login: somebody mends it
        raise SendFailedError(f"{server.host} answered {error.smtp_code}") from None
    except TimeoutError:
        raise SendFailedError("timed out") from None
    except (smtplib.SMTPException, OSError) as error:
        raise SendFailedError(f"{server.host}: {type(error).__name__}") from error


def _hand_in(server: MailServer, mail: EmailMessage) -> None:
    trust = ssl.create_default_context(cafile=server.ca_file)
    secure = server.tls == "tls"
    with (
        smtplib.SMTP_SSL(server.host, server.port, timeout=WAIT_S, context=trust)
        if secure
        else smtplib.SMTP(server.host, server.port, timeout=WAIT_S)
    ) as smtp:
        cut = threading.Timer(TALK_S, _cut, (smtp,))
        cut.daemon = True
        cut.start()
        try:
            if server.tls == "starttls":
                smtp.starttls(context=trust)
            if server.user is not None:
                smtp.login(server.user, server.password or "")
            smtp.send_message(mail)
        finally:
            cut.cancel()


def _cut(smtp: smtplib.SMTP) -> None:
    """Ends a talk that takes too long: whoever reads or writes in it fails at once."""
    with suppress(OSError):
        if smtp.sock is not None:
            smtp.sock.shutdown(socket.SHUT_RDWR)


def _failed(code: int, what: str) -> Exception:
    """RFC 5321, 4.2.1: 4yz is to be tried again, 5yz is for good."""
    if 500 <= code < 600:
        return MailRefusedError(f"the mail server refused {what}: {code}")
    return SendFailedError(f"the mail server does not take {what} now: {code}")
