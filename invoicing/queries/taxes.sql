-- Tax for each category and rate on the sum of its nets, once more. round() is half up away from zero, trunc()
-- towards zero. Where prices include tax the base is rounded, and tax is what is left.
SELECT category, rate,
       CASE WHEN %(inclusive)s THEN base ELSE amount END AS base,
       CASE WHEN %(inclusive)s THEN amount - base
            WHEN %(down)s THEN trunc(amount * rate / 100, %(digits)s)
            ELSE round(amount * rate / 100, %(digits)s) END AS tax
FROM (
    SELECT category, rate, sum(net) AS amount, round(sum(net) * 100 / (100 + rate), %(digits)s) AS base
    FROM unnest(%(category)s::text[], %(rate)s::numeric[], %(net)s::numeric[]) AS l (category, rate, net)
    GROUP BY 1, 2
) g
ORDER BY category COLLATE "C", rate
