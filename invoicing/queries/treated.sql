-- The newest sealed period of each scope whose account is to be taxed in another way in the period after: by what begins
-- in that, or was entered since the invoice was issued.
SELECT z.scope_id, z.period_start, z.period_end
FROM tax_profile p
JOIN account a USING (account_id)
JOIN rating_scope s USING (account_id)
CROSS JOIN LATERAL (
    SELECT * FROM scope_seal WHERE scope_id = s.scope_id ORDER BY period_start DESC LIMIT 1
) z
JOIN invoice i USING (invoice_id)
WHERE (%(accounts)s::text[] IS NULL OR p.account_id = ANY(%(accounts)s))
  AND (lower(p.valid) >= z.period_end OR p.entered_at > i.issued_at)
  AND p.valid @> ((z.period_end AT TIME ZONE a.timezone + interval '1 month') AT TIME ZONE a.timezone
                  - interval '1 millisecond')
  AND (p.mode, p.rounding) <> (i.document->'profile'->>'mode', i.document->'profile'->>'rounding')
