"""The demonstration: this machine metered live, then a fleet's month, a kill, and the invoices.

Nothing in here is simulated but the fleet: the servers, the worker, the agent, the traffic and the
webhooks are real, and every figure of the result was measured. Production code never imports it.

    play       the acts, in their order; cast: the fleet before them; after: how to go on
    result     the figures, and whether each is as it must be
    screen     progress while it runs; ending: the closing screen
    customers  who rents what; receiver: their webhook
    machine    act one, with kernel, marks and traffic
    month      act two: the fleet's month, and the kill
    closing    act three: invoices
"""
