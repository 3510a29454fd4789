"""Everything that writes to PostgreSQL or to a customer: checkpoint, ledger, outbox, delivery."""
