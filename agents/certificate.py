"""What is wrong with the certificate that a broker shows: the Kafka client only says that it is.

One TLS handshake, for the log's sake, when the client has failed at its own. Imported only then.
"""

import socket
import ssl
from collections.abc import Mapping
from typing import Final

TIMEOUT_S: Final = 3.0
_EXPIRED, _NOT_YET, _HOST = 10, 9, (62, 64)
"""X509_V_ERR_CERT_HAS_EXPIRED, …_NOT_YET_VALID, …_HOSTNAME_MISMATCH and …_IP_ADDRESS_MISMATCH of
OpenSSL's x509_vfy.h.
"""


def fault(kafka: Mapping[str, str | int | float | bool]) -> str:
    """In one sentence, of the first broker; "" where this handshake finds nothing wrong."""
    where = str(kafka["bootstrap.servers"]).split(",")[0].strip()
    host, _, port = where.rpartition(":")
    trust = kafka.get("ssl.ca.location")
    try:
        context = ssl.create_default_context(cafile=str(trust) if trust else None)
        with (
            socket.create_connection((host.strip("[]"), int(port)), TIMEOUT_S) as plain,
            context.wrap_socket(plain, server_hostname=host.strip("[]")),
        ):
            return ""
    except ssl.SSLCertVerificationError as error:
        if error.verify_code == _EXPIRED:
            return f"the certificate that {where} shows has expired: renew it there"
        if error.verify_code == _NOT_YET:
            return f"the certificate that {where} shows is not valid yet: correct this clock"
        if error.verify_code in _HOST:
            return f"{where} shows another host's certificate: correct bootstrap, or renew it there"
        return (
            f"{where} shows a certificate that {trust or 'this system'} does not vouch for "
            f"({error.verify_message}): correct ssl.ca.location"
        )
    except (OSError, ValueError):
        return ""
