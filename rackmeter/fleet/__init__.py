"""A simulated fleet: what its servers used, what they sent, what went wrong, and the truth.

An ordinary month, sent live:

    plan       which servers, which month, which adversities: everything follows from a seed
    shapes     usage of each interval, as integers
    life       the readings of one server, origin by origin
    mishaps    what the network and the neighbours do to its reports
    messages   reports as bytes on the wire, signed; twists, the twisted ones
    publish    to Kafka

A whole topic as a file, with every adversity that is switched on:

    adversity  their names
    cast       who meets which
    kernel     raw counters that reset, wrap and vanish; upheaval, the real agent above them
    diary      every report that an agent wrote, and what really passed; clocks, those that lie
    delivery   when each is sent and appended: again, late, in no order
    spelling   as older, newer and other agents write it
    poison     what is no report, or nobody's; breach, what breaks its own server's contract
    log        all of it in log order
    captured   as files

What must come out:

    truth      what was used, computed from the readings, never from what was sent
    book       what depends on which reports arrived: verdicts, and windows
    audit      a ledger or a CSV against the truth

Truth and audit share no code with the meter: no import from pipeline or sinks anywhere in here.
"""
