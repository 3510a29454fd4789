-- Quantity and net of each line once more, in numeric: half up away from zero is what round() does. Rent
-- counts started hours; a metered line takes the nearest step above the allowance. A capped line whose
-- month has other lines of the charge is bounded by them: only its quantity is computed here.
WITH line AS (
    SELECT * FROM unnest(
        %(no)s::int[], %(rent)s::boolean[], %(alone)s::boolean[], %(capped)s::boolean[],
        %(began)s::timestamptz[], %(low)s::timestamptz[], %(high)s::timestamptz[],
        %(base)s::numeric[], %(allowance)s::numeric[], %(unit)s::numeric[], %(step)s::numeric[],
        %(price)s::numeric[], %(cap)s::numeric[]
    ) AS l (no, rent, alone, capped, began, low, high, base, allowance, unit, step, price, cap)
), elapsed AS (
    SELECT *, extract(epoch FROM high - began) * 1000000 AS high_us,
           extract(epoch FROM low - began) * 1000000 AS low_us,
           greatest(base - allowance, 0) AS excess
    FROM line
), counted AS (
    SELECT *, CASE
        WHEN rent THEN div(high_us + 3599999999, 3600000000) - div(low_us + 3599999999, 3600000000)
        ELSE div(2 * excess + unit * step, 2 * unit * step) * step
    END AS quantity
    FROM elapsed
)
SELECT no, quantity, CASE
    WHEN alone THEN round(least(quantity * price, coalesce(cap, quantity * price)), %(digits)s)
    WHEN NOT capped THEN round(quantity * price, %(digits)s)
END
FROM counted ORDER BY no
