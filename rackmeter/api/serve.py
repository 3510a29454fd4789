"""The API's process: uvicorn on the address that is set, until it is told to stop."""

import signal
import socket
import ssl
from typing import Final

import uvicorn

from rackmeter import exposition
from rackmeter.api.app import application
from rackmeter.key_files import load_vault
from rackmeter.settings import Settings
from schemas.errors import ConfigError

CONNECTIONS_MAX: Final = 64
GRACE_SECONDS: Final = 5
HEADER_BYTES_MAX: Final = 16 * 1024


def run_api(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; a setting that cannot be served is a ConfigError."""
    if settings.database_url is None or settings.kafka_bootstrap is None:
        raise ConfigError(
            "The API needs RACKMETER_DATABASE_URL and RACKMETER_KAFKA_BOOTSTRAP; `rackmeter dev`"
            " starts both servers and prints them."
        )
    _check_certificate(settings)
    config = uvicorn.Config(
        application(settings, load_vault(settings)),
        http="h11",
        h11_max_incomplete_event_size=HEADER_BYTES_MAX,
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        limit_concurrency=CONNECTIONS_MAX,
        timeout_graceful_shutdown=GRACE_SECONDS,
        ssl_certfile=settings.api_cert_file,
        ssl_keyfile=settings.api_key_file,
        proxy_headers=settings.api_trusted_proxies is not None,
        forwarded_allow_ips=settings.api_trusted_proxies or "",
    )
    listener = _listener(settings.api_host, settings.api_port)
    exposition.serve(settings.metrics_port, settings.metrics_host)
    server = uvicorn.Server(config)

    def stop(*_: object) -> None:
        """uvicorn raises the signal once more after its orderly end."""
        server.should_exit = True

    signal.signal(signal.SIGTERM, stop)
    with listener:
        server.run(sockets=[listener])


def _listener(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise ConfigError(
            f"The API cannot listen on {host}:{port} ({error.strerror}): correct"
            " RACKMETER_API_HOST or RACKMETER_API_PORT."
        ) from error


def _check_certificate(settings: Settings) -> None:
    """Before a socket is opened: what uvicorn would say in a traceback."""
    if settings.api_cert_file is None:
        if settings.api_key_file is not None:
            raise ConfigError("RACKMETER_API_KEY_FILE is set: RACKMETER_API_CERT_FILE as well.")
        return
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(settings.api_cert_file, settings.api_key_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f"{settings.api_cert_file} cannot be used for TLS ({error}): RACKMETER_API_CERT_FILE"
            " and RACKMETER_API_KEY_FILE must be a certificate and its key, PEM."
        ) from None
