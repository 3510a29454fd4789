-- Tax for each document, category and rate on the sum of its nets, once more, and what a document comes to. round()
-- is half up away from zero, trunc() towards zero. Where prices include tax the base is rounded, and tax is what is left.
SELECT d.no, category, rate, base, tax, coalesce(sum(base) OVER own, 0), coalesce(sum(tax) OVER own, 0),
       coalesce(sum(base) OVER own, 0) + coalesce(sum(tax) OVER own, 0)
FROM unnest(%(document)s::int[]) AS d (no)
LEFT JOIN (
    SELECT no, category, rate,
           CASE WHEN inclusive THEN base ELSE amount END AS base,
           CASE WHEN inclusive THEN amount - base
                WHEN down THEN trunc(amount * rate / 100, %(digits)s)
                ELSE round(amount * rate / 100, %(digits)s) END AS tax
    FROM (
        SELECT no, category, rate, inclusive, down, sum(net) AS amount,
               round(sum(net) * 100 / (100 + rate), %(digits)s) AS base
        FROM unnest(%(no)s::int[], %(category)s::text[], %(rate)s::numeric[], %(net)s::numeric[])
             AS l (no, category, rate, net)
        JOIN unnest(%(document)s::int[], %(inclusive)s::boolean[], %(down)s::boolean[])
             AS t (no, inclusive, down) USING (no)
        GROUP BY 1, 2, 3, 4, 5
    ) g
) l USING (no)
WINDOW own AS (PARTITION BY d.no)
ORDER BY d.no, category COLLATE "C", rate
