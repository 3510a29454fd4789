"""The HTTP API: health of this installation, enrolment of servers, gateways' events."""
