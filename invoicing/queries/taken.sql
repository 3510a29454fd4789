-- What documents take back of earlier invoices, once more: in order, of each the promotional credit before what was
-- owed; and the tax of that, of all that was taken back by now less the taxes of the credit notes before.
SELECT no, place, back, given,
       CASE WHEN back = 0 THEN 0
            WHEN before + back = charged THEN tax
            WHEN inclusive THEN before + back - round((before + back) * 100 / (100 + rate), %(digits)s)
            WHEN down THEN trunc((before + back) * rate / 100, %(digits)s)
            ELSE round((before + back) * rate / 100, %(digits)s)
       END - CASE WHEN back = 0 THEN 0 ELSE before_tax END AS back_tax
FROM (
    SELECT *, least(took, used) AS given, took - least(took, used) AS back
    FROM (
        SELECT *, least(room, greatest(0, amount - coalesce(sum(room) OVER earlier, 0))) AS took
        FROM (
            SELECT *, used + CASE WHEN credit_only THEN 0 ELSE greatest(0, charged - before) END AS room
            FROM unnest(
                %(no)s::int[], %(place)s::int[], %(about)s::text[], %(amount)s::numeric[], %(rate)s::numeric[],
                %(charged)s::numeric[], %(tax)s::numeric[], %(before)s::numeric[], %(before_tax)s::numeric[],
                %(used)s::numeric[], %(credit_only)s::boolean[], %(inclusive)s::boolean[], %(down)s::boolean[]
            ) AS t (no, place, about, amount, rate, charged, tax, before, before_tax, used, credit_only, inclusive, down)
        ) r
        WINDOW earlier AS (PARTITION BY no, about ORDER BY place ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
    ) t
) g
ORDER BY no, place
