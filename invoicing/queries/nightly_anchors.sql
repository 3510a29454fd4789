-- Readings of a server that the ledger has kept around a day: those since some days before, and the last before it.
-- `gone`: series that the origin had shown earlier and this report did not.
SELECT a.origin, a.kind = 'opening', a."offset", a.at <= %(low)s, gone.series
FROM reading_anchor a
JOIN series_set own USING (set_id)
CROSS JOIN LATERAL (
    SELECT coalesce(array_agg(DISTINCT n.meter || chr(10) || n.resource), '{}') AS series
    FROM reading_anchor b JOIN series_set t USING (set_id)
    CROSS JOIN LATERAL unnest(t.meter, t.resource) AS n (meter, resource)
    WHERE b.server_id = a.server_id AND b.origin = a.origin AND b.at < a.at
      AND NOT EXISTS (SELECT FROM unnest(own.meter, own.resource) AS o (meter, resource) WHERE o = n)
) gone
WHERE a.server_id = %(server)s AND a.topic_id = %(topic)s
  AND (a.at >= %(since)s
       OR a.at = (SELECT max(c.at) FROM reading_anchor c WHERE c.server_id = a.server_id AND c.at <= %(low)s))
ORDER BY a."offset"
