"""The ledger as a store: what it lies on, hours and days, partitions, retention, conversion."""
