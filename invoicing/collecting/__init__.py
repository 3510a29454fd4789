"""Having invoices paid: attempts at gateways, refunds, events, and how accounts stand."""
