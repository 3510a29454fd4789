INSERT INTO catalog_version VALUES ('bolt-2026', '2026-04-01Z', 'd', 'contract = "bolt-2026"', '2026-03-03Z');
INSERT INTO contract (version, base, scope_id, valid, discounts, commitments, entered_at)
VALUES ('bolt-2026', '2026-01', 'b-1', '[2026-04-01Z,)', '[]', '[]', '2026-03-03Z');
