"""An invoice with everything behind it in one file: made from the ledger, checked without it."""
