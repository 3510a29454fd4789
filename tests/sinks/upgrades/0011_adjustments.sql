-- The closed month of 0002 was looked at twice: once billed by its own invoice's line, once without a difference.
INSERT INTO adjustment
SELECT scope_id, period_start, 1, now(), 'd', invoice_id, period_end FROM scope_seal;
INSERT INTO adjustment SELECT scope_id, period_start, 2, now(), 'd', NULL, period_end FROM scope_seal;
INSERT INTO adjustment_line
SELECT invoice_id, 1, scope_id, period_start, 'a-1/rent/2026-02', 'charge' FROM scope_seal;
INSERT INTO adjust_due (scope_id, period_start, why) SELECT scope_id, period_start, 'usage' FROM scope_seal;
INSERT INTO adjust_mark SELECT topic_id, part, next_offset FROM ingest_offset;
INSERT INTO seal_open SELECT scope_id, period_start, 0, 's1', -1, 0 FROM scope_seal;
UPDATE ingest_topic SET drained_at = now(), drained_by = 'op@host';
