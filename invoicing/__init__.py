"""Closing a period: gate, lines, reconcile, seal, document, collect. Amounts come from rating."""
