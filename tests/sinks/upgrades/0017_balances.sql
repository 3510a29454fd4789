-- The transfer of 0012 came, and was given up before: both may be.
UPDATE bank_transfer SET canceled_at = '2026-03-19Z';
