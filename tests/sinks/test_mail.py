"""Mail to a real SMTP server, over TLS, with everything that a server may answer."""

import socket
import ssl
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from schemas.errors import ConfigError, RefusedError
from sinks import mail as mail_module
from sinks.claims import MAIL_LEASE
from sinks.database import Connection
from sinks.deliver import Delivery, Outcome, Ways, deliver_due
from sinks.mail import MailServer, Tls
from sinks.mail_words import letter
from sinks.outbox import Alert, enqueue
from sinks.webhooks import set_mail
from tests.fix_billing import START
from tests.sinks.test_outbox import put_scope
from tests.vault import VAULT

NOW = START + timedelta(days=3)
TO = "billing@acme.example"
USER, PASSWORD = "rackmeter", "a password"


@dataclass
class Mailbox:
    """What came, and what is to be answered: to RCPT, then to DATA."""

    rcpt: deque[str] = field(default_factory=deque)
    data: deque[str] = field(default_factory=deque)
    mails: list[EmailMessage] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)
    options: list[str] = field(default_factory=list)
    """Of MAIL: what the client asked for."""

    async def handle_MAIL(self, _s: Any, _n: Any, envelope: Any, sender: str, said: Any) -> str:
        self.options += said
        envelope.mail_from = sender
        return "250 OK"

    async def handle_RCPT(self, _s: Any, _n: Any, envelope: Any, to: str, _o: Any) -> str:
        answer = self.rcpt.popleft() if self.rcpt else "250 OK"
        if answer.startswith("250"):
            envelope.rcpt_tos.append(to)
        return answer

    async def handle_DATA(self, _s: Any, _n: Any, envelope: Any) -> str:
        answer = self.data.popleft() if self.data else "250 OK"
        if answer.startswith("250"):
            mail = message_from_bytes(envelope.content, policy=policy.SMTP)
            assert isinstance(mail, EmailMessage)
            self.mails.append(mail)
            self.raw.append(envelope.content)
        return answer


def accept(_server: Any, _session: Any, _envelope: Any, _way: str, login: Any) -> AuthResult:
    known = (login.login, login.password) == (USER.encode(), PASSWORD.encode())
    return AuthResult(success=known, handled=known)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of localhost, signed by itself; the key is in the same file."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = tmp_path_factory.mktemp("smtp") / "server.pem"
    path.write_bytes(private + made.public_bytes(pem))
    return path


Serve = Callable[[Tls], tuple[MailServer, Mailbox]]


@pytest.fixture
def serve(certificate: Path) -> Iterator[Serve]:
    running: list[Controller] = []

    def start(tls: Tls) -> tuple[MailServer, Mailbox]:
        box, context = Mailbox(), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate)
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        controller = Controller(
            box, "localhost", port, authenticator=accept, auth_required=tls == "starttls",
            auth_require_tls=tls == "starttls",
            tls_context=context if tls == "starttls" else None,
            require_starttls=tls == "starttls",
            ssl_context=context if tls == "tls" else None,
        )  # fmt: skip
        controller.start()
        running.append(controller)
        user, password = (None, None) if tls == "none" else (USER, PASSWORD)
        sender = "Hosting <alerts@hosting.example>"
        server = MailServer("localhost", port, tls, sender, user, password, certificate)
        return server, box

    yield start
    for controller in running:
        controller.stop()


def an_alert(**more: Any) -> Alert:
    data = {
        "account": "acme", "scope": "i-1", "item": "i-1", "charge": "traffic", "percent": 80,
        "used": "16.412", "allowance": "20.000", "unit": "TB", "period_start":
        "2026-03-01T00:00:00Z", "period_end": "2026-04-01T00:00:00Z",
        "sampled_at": "2026-03-21T02:04:58Z", "text": "…", "money": False,
        "threshold": "i-1/traffic/80%", **more,
    }  # fmt: skip
    body = {"type": "usage.threshold.crossed", "timestamp": "2026-03-21T02:04:58Z", "data": data}
    return Alert("acme", "i-1", START, "i-1/traffic/80%", "v1/20", "crossed", body, NOW)


@pytest.fixture
def outbox(billing: Connection) -> Connection:
    """acme has no webhook and one address; one alert is due for it."""
    put_scope(billing, None)
    set_mail(billing, "acme", [TO], "de")
    assert enqueue(billing, an_alert(), NOW)
    return billing


def deliver(conn: Connection, server: MailServer | None, now: datetime = NOW) -> list[Delivery]:
    return deliver_due(conn, Ways(VAULT, mail=server), lambda: now)


@pytest.mark.parametrize("tls", ["starttls", "tls", "none"])
def test_a_mail_arrives_as_text_and_html(outbox: Connection, serve: Serve, tls: Tls) -> None:
    server, box = serve(tls)
    (done,) = deliver(outbox, server)
    assert (done.outcome, done.channel) == (Outcome.DELIVERED, "mail")
    (mail,) = box.mails
    assert (mail["To"], mail["From"]) == (TO, server.sender)
    assert mail["Subject"] == "i-1, traffic: 80 % von 20 TB sind erreicht"
    assert mail["Message-ID"] == f"<{done.alert_id}@hosting.example>"
    assert mail["Auto-Submitted"] == "auto-generated"
    text, html = mail.get_body(("plain",)), mail.get_body(("html",))
    assert text is not None
    assert html is not None
    assert "16,412 TB von 20 TB sind verbraucht" in text.get_content()
    assert '<html lang="de">' in html.get_content()
    assert deliver(outbox, server, NOW + timedelta(days=9)) == []


@pytest.mark.parametrize("language", ["de", "en"])
def test_the_message_as_it_goes_out_is_7_bits_and_says_its_language(
    outbox: Connection, serve: Serve, language: str
) -> None:
    server, box = serve("none")
    set_mail(outbox, "acme", [TO], language)
    outbox.execute("UPDATE alert_outbox SET body = jsonb_set(body, '{data,item}', '\"Größe ☃\"')")
    deliver(outbox, server)
    (raw,), (mail,) = box.raw, box.mails
    assert raw.isascii(), "no server needs to offer 8BITMIME"
    assert "BODY=8BITMIME" not in box.options
    assert max(map(len, raw.split(b"\r\n"))) <= 998, "RFC 5322, 2.1.1"
    head = raw.partition(b"\r\n\r\n")[0].decode()
    assert f"\r\nContent-Language: {language}" in head
    assert mail["Content-Language"] == language
    for part in mail.iter_parts():
        assert part["Content-Transfer-Encoding"] in ("quoted-printable", "base64")
        assert "Größe ☃" in part.get_content()


def test_what_cannot_be_written_keeps_nothing_else_from_being_sent(
    outbox: Connection, serve: Serve
) -> None:
    server, box = serve("none")
    outbox.execute("UPDATE alert_outbox SET body = body #- '{data,period_end}'")
    enqueue(outbox, replace(an_alert(), threshold="i-1/traffic/90%"), NOW + timedelta(seconds=1))
    done = deliver(outbox, server, NOW + timedelta(seconds=2))
    assert [(one.outcome, one.why) for one in done] == [
        (Outcome.RETRY, "it cannot be sent: KeyError"), (Outcome.DELIVERED, ""),
    ]  # fmt: skip
    assert len(box.mails) == 1


def test_each_recipient_gets_one_of_its_own(billing: Connection, serve: Serve) -> None:
    put_scope(billing, None)
    server, box = serve("starttls")
    set_mail(billing, "acme", [TO, "ops@acme.example", TO], "en")
    enqueue(billing, an_alert(), NOW)
    set_mail(billing, "acme", [TO, "late@acme.example"], "en")
    assert not enqueue(billing, an_alert(), NOW), "a new address hears of new crossings only"
    box.rcpt.append("550 no such user")
    assert sorted(done.outcome for done in deliver(billing, server)) == ["delivered", "given_up"]
    assert len(box.mails) == 1


@pytest.mark.parametrize(
    ("rcpt", "data", "outcome", "why"),
    [
        ("450 greylisted", "", Outcome.RETRY, "the mail server does not take the recipient now: 4"),
        ("550 unknown", "", Outcome.GIVEN_UP, "the mail server refused the recipient: 550"),
        ("", "452 full", Outcome.RETRY, "the mail server does not take the mail now: 452"),
        ("", "554 spam", Outcome.GIVEN_UP, "the mail server refused the mail: 554"),
    ],
)
def test_what_the_server_answers_decides(
    outbox: Connection, serve: Serve, rcpt: str, data: str, outcome: Outcome, why: str
) -> None:
    server, box = serve("starttls")
    box.rcpt.extend([rcpt] * bool(rcpt))
    box.data.extend([data] * bool(data))
    (done,) = deliver(outbox, server)
    assert done.outcome is outcome
    assert done.why.startswith(why)
    assert box.mails == []
    again = deliver(outbox, server, NOW + timedelta(days=1))
    assert len(box.mails) == len(again) == (1 if outcome is Outcome.RETRY else 0)


def test_what_somebody_can_mend_is_waited_for(outbox: Connection, serve: Serve) -> None:
    """No server set, a wrong password, a certificate nobody knows, nobody there."""
    server, box = serve("starttls")
    broken = {
        "RACKMETER_SMTP_HOST is not set": None,
        "localhost answered 535": replace(server, password="wrong"),
        "localhost: SSLCertVerificationError": replace(server, ca_file=None),
        "localhost: ConnectionRefusedError": replace(server, port=1),
        "localhost: SMTPNotSupportedError": replace(serve("none")[0], tls="starttls"),
    }
    for number, (why, ways) in enumerate(broken.items()):
        (done,) = deliver(outbox, ways, NOW + timedelta(days=number))
        assert (done.outcome, done.why) == (Outcome.RETRY, why)
    (done,) = deliver(outbox, server, NOW + timedelta(days=9))
    assert (done.outcome, len(box.mails)) == (Outcome.DELIVERED, 1)


@pytest.mark.parametrize("greeting", [b"", b"220 hello\r\n"], ids=["silent", "then silent"])
def test_a_silent_server_ends_at_the_time_out(
    outbox: Connection, monkeypatch: pytest.MonkeyPatch, greeting: bytes
) -> None:
    monkeypatch.setattr(mail_module, "WAIT_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        server = MailServer("127.0.0.1", silent.getsockname()[1], "none", "a@hosting.example")
        over = threading.Event()

        def greet() -> None:
            with silent.accept()[0] as talk:
                talk.sendall(greeting)
                over.wait(10)

        thread = threading.Thread(target=greet)
        thread.start()
        (done,) = deliver(outbox, server)
        over.set()
        thread.join()
    assert done.outcome is Outcome.RETRY


def test_a_server_that_drips_is_cut_off_within_the_lease(
    outbox: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert MAIL_LEASE.total_seconds() > 2 * mail_module.WAIT_S + mail_module.TALK_S
    monkeypatch.setattr(mail_module, "TALK_S", 0.4)
    stop = threading.Event()

    def drip(listening: socket.socket) -> None:
        with listening.accept()[0] as talk:
            talk.sendall(b"220 hello\r\n250-")
            while not stop.wait(0.05):
                try:
                    talk.sendall(b"x")
                except OSError:
                    return

    with socket.create_server(("127.0.0.1", 0)) as slow:
        thread = threading.Thread(target=drip, args=(slow,))
        thread.start()
        server = MailServer("127.0.0.1", slow.getsockname()[1], "none", "a@hosting.example")
        (done,) = deliver(outbox, server)
        stop.set()
        thread.join()
    assert done.outcome is Outcome.RETRY


@pytest.mark.parametrize("address", ["", "acme", "a@", "a@b\r\nBcc: c@d", "a b@c.example"])
def test_what_is_no_address_is_refused(outbox: Connection, address: str) -> None:
    with pytest.raises(ConfigError, match="Account acme"):
        set_mail(outbox, "acme", [address], "en")
    with pytest.raises(ConfigError, match="written in en, de"):
        set_mail(outbox, "acme", [TO], "fr")
    with pytest.raises(RefusedError):
        set_mail(outbox, "nobody", [TO], "en")


EUR = {"item": "", "charge": "", "unit": "EUR", "money": True, "limit": "1500.00"}
CLEARED = "usage.threshold.cleared"


@pytest.mark.parametrize(
    ("language", "event", "more", "subject"),
    [
        ("en", "usage.threshold.crossed", {}, "i-1, traffic: 80 % of 20 TB is reached"),
        ("en", CLEARED, {"because": "amount"}, "i-1, traffic: below 80 % of 20 TB again"),
        ("de", CLEARED, {"because": "amount"}, "i-1, traffic: wieder unter 80 % von 20 TB"),
        (
            "en", CLEARED, {"because": "limit"},
            "i-1, traffic: below 80 % of 20 TB, the new limit",
        ),
        (
            "de", CLEARED, {"because": "dropped"},
            "i-1, traffic: 80 % von 20 TB sind keine Grenze mehr",
        ),
        ("de", CLEARED, {"because": "month"}, "i-1, traffic: ein neuer Monat hat begonnen"),
        (
            "en", CLEARED, {"because": "amount", "threshold": "i-1/traffic/forecast"},
            "i-1, traffic: 20 TB will not be reached after all",
        ),
        (
            "en", "usage.threshold.forecast", {"reached_at": "2026-03-21T08:05:00Z"},
            "i-1, traffic: 20 TB will be reached at 21 Mar 2026, 08:05 UTC",
        ),
        (
            "de", "usage.threshold.crossed", {**EUR, "suspends": "yes"},
            "acme, Kosten: 1.500,00 EUR sind erreicht, es wird gesperrt",
        ),
        (
            "de", "usage.threshold.crossed",
            {"unit": "EUR", "money": True, "used": "6.00", "allowance": "5.00", "percent": 100},
            "i-1, traffic: 100 % von 5,00 EUR sind erreicht",
        ),
        (
            "en", "usage.threshold.crossed", {**EUR, "unit": "JPY", "limit": "1500"},
            "acme, cost: 80 % of 1,500 JPY is reached",
        ),
    ],
)  # fmt: skip
def test_what_a_subject_says(language: str, event: str, more: dict[str, Any], subject: str) -> None:
    body = {**an_alert(**more).body, "type": event}
    assert letter(body, language, "UTC").subject == subject


def test_money_keeps_its_cents() -> None:
    money = {"unit": "EUR", "money": True, "used": "6.00", "allowance": "5.00", "percent": 100}
    assert (
        "6,00 EUR von 5,00 EUR sind verbraucht" in letter(an_alert(**money).body, "de", "UTC").text
    )


@pytest.mark.parametrize(
    ("more", "en", "de"),
    [
        ({}, None, None),
        ({"resumes": [], "stays": []}, None, None),
        ({"resumes": ["i-1"], "stays": []}, "is being resumed.", "wird wieder freigegeben."),
        (
            {"resumes": ["i-1"], "stays": ["i-2"]},
            "is being resumed, but for what something else holds.",
            "freigegeben, bis auf das, was aus einem anderen Grund gesperrt bleibt.",
        ),
        ({"resumes": [], "stays": ["i-2"]}, "stays so: another cap or an", "bleibt gesperrt: eine"),
    ],
)
@pytest.mark.parametrize("because", ["amount", "limit", "dropped", "month"])
def test_only_what_was_suspended_is_said_to_be_released(
    because: str, more: dict[str, list[str]], en: str | None, de: str | None
) -> None:
    body = {**an_alert(**EUR, because=because, **more).body, "type": CLEARED}
    for language, words, all_words in (
        ("en", en, ("suspended", "resumed")), ("de", de, ("gesperrt", "freigegeben")),
    ):  # fmt: skip
        text = letter(body, language, "UTC").text
        if words is None:
            assert not any(word in text for word in all_words)
        else:
            assert words in text


def test_days_are_the_customers_own() -> None:
    edges = {"period_start": "2026-02-28T23:00:00Z", "period_end": "2026-03-31T22:00:00Z"}
    found = letter(an_alert(**edges).body, "de", "Europe/Berlin")
    assert "1. März 2026 – 31. März 2026" in found.text
    assert "21. März 2026, 03:04 MEZ" in found.text


def test_names_cannot_write_html_or_headers() -> None:
    found = letter(an_alert(item="<script>\r\nBcc: x@y").body, "en", "UTC")
    assert "\n" not in found.subject
    assert "<script>" not in found.html
