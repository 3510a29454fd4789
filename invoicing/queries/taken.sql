-- What documents take back of earlier invoices, once more: in order, of each what its own lines come to, then by credit
-- notes what is left; of each the promotional credit before what was owed, and by invoices what credit had paid that
-- goes on at another rate, as far as it may be drawn again; and the tax of that, of all that was taken back by now less the
-- taxes of the credit notes before.
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
        SELECT *, first + CASE WHEN credit_only THEN 0 ELSE
                      least(room - first, greatest(0, amount - sum(first) OVER whole
                                                        - coalesce(sum(room - first) OVER earlier, 0))) END AS took
        FROM (
            SELECT *, greatest(moved, least(mine, greatest(0, amount - coalesce(sum(mine) OVER earlier, 0)))) AS first
            FROM (
                SELECT *, least(room, greatest(0, own)) AS mine,
                       CASE WHEN credit_only THEN greatest(0, least(own - greatest(0, charged - before), again))
                            ELSE 0 END AS moved
                FROM (
                    SELECT *, used + CASE WHEN credit_only THEN 0 ELSE greatest(0, charged - before) END AS room
                    FROM unnest(
                        %(no)s::int[], %(place)s::int[], %(about)s::text[], %(amount)s::numeric[], %(own)s::numeric[],
                        %(rate)s::numeric[], %(charged)s::numeric[], %(tax)s::numeric[], %(before)s::numeric[],
                        %(before_tax)s::numeric[], %(used)s::numeric[], %(again)s::numeric[], %(credit_only)s::boolean[],
                        %(inclusive)s::boolean[], %(down)s::boolean[]
                    ) AS t (no, place, about, amount, own, rate, charged, tax, before, before_tax, used, again,
                            credit_only, inclusive, down)
                ) r
            ) m
            WINDOW earlier AS (PARTITION BY no, about ORDER BY place ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
        ) f
        WINDOW whole AS (PARTITION BY no, about),
               earlier AS (PARTITION BY no, about ORDER BY place ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
    ) t
) g
ORDER BY no, place
