"""Payments: one contract for every gateway, faults of Stripe, kills of the collector."""
