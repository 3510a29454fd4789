"""A simulated fleet: what its servers used, what they sent, what went wrong, and the truth.

    plan      which servers, which month: everything follows from a seed
    shapes    usage of each interval, as integers
    life      the readings of one server, origin by origin
    mishaps   what the network and the neighbours do to its reports
    messages  reports as bytes on the wire, signed; and the twisted ones
    publish   to Kafka
    truth     what was used, computed from the readings, never from what was sent
    audit     the ledger against the truth

Truth and audit share no code with the meter: no import from pipeline or sinks anywhere in here.
"""
