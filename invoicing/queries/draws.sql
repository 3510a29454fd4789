-- What an amount draws from the credits of a kind, once more: by priority, then what expires first, then the oldest.
SELECT credit, drawn FROM (
    SELECT credit, least(remaining, greatest(0, %(amount)s::numeric - coalesce(sum(remaining) OVER turn, 0))) AS drawn
    FROM unnest(
        %(credit)s::text[], %(left)s::numeric[], %(priority)s::int[], %(granted)s::timestamptz[],
        %(expires)s::timestamptz[]
    ) AS c (credit, remaining, priority, granted_at, expires_at)
    WHERE granted_at <= %(at)s AND (expires_at IS NULL OR %(at)s < expires_at)
    WINDOW turn AS (
        ORDER BY priority, expires_at NULLS LAST, granted_at, credit COLLATE "C"
        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
) d
WHERE drawn > 0 ORDER BY credit COLLATE "C"
