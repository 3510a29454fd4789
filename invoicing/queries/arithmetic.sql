-- Quantity and net of each line once more, in numeric: half up away from zero is what round() does. Rent
-- counts started hours; a metered line lies between the nearest steps to what its series has come to above
-- the allowance when it begins and when it ends, and has of it what lies in its tier, or the packages begun;
-- an allocation counts its milliseconds here. Other quantities are taken as given, and no answer is given to
-- them. A capped line whose month has other lines of the charge is bounded by them: it gets no net.
WITH line AS (
    SELECT * FROM unnest(
        %(no)s::int[], %(mode)s::text[], %(series)s::text[], %(first)s::boolean[], %(given)s::numeric[],
        %(alone)s::boolean[], %(capped)s::boolean[], %(began)s::timestamptz[],
        %(low)s::timestamptz[], %(high)s::timestamptz[],
        %(base)s::numeric[], %(count)s::numeric[], %(allowance)s::numeric[], %(taken)s::numeric[],
        %(whole)s::numeric[], %(unit)s::numeric[], %(step)s::numeric[], %(before)s::numeric[], %(floor)s::numeric[],
        %(up_to)s::numeric[], %(size)s::numeric[], %(price)s::numeric[], %(cap)s::numeric[]
    ) AS l (no, mode, series, first, given, alone, capped, began, low, high, base, count, allowance,
            taken, whole, unit, step, before, floor, up_to, size, price, cap)
), elapsed AS (
    SELECT *, extract(epoch FROM high - began) * 1000000 AS high_us,
           extract(epoch FROM low - began) * 1000000 AS low_us
    FROM line
), used AS (
    SELECT *, greatest(coalesce(count * (div(high_us, 1000) - div(low_us, 1000)), base) - allowance, 0)
              * taken AS excess
    FROM elapsed
), summed AS (
    SELECT *, sum(excess) FILTER (WHERE first) OVER (PARTITION BY series ORDER BY low) AS until,
              whole * unit * step AS one
    FROM used
), billed AS (
    SELECT *, div(2 * until + one, 2 * one) * step AS until_billed,
              div(2 * (until - excess) + one, 2 * one) * step AS before_billed
    FROM summed
), stepped AS (
    SELECT no, mode, given, alone, capped, high_us, low_us, floor, up_to, size, price, cap,
           coalesce(before, before_billed) AS before,
           coalesce(before, before_billed) + until_billed - before_billed AS after
    FROM billed
), counted AS (
    SELECT *, CASE mode
        WHEN 'hours' THEN
            div(high_us + 3599999999, 3600000000) - div(low_us + 3599999999, 3600000000)
        WHEN 'units' THEN
            greatest(least(after, coalesce(up_to, after)) - greatest(before, floor), 0)
        WHEN 'packages' THEN
            div(after, size) + sign(mod(after, size)) - div(before, size) - sign(mod(before, size))
    END AS quantity
    FROM stepped
), multiplied AS (
    SELECT *, coalesce(quantity, given) * price AS amount FROM counted
)
SELECT no, quantity, CASE
    WHEN alone THEN round(least(amount, coalesce(cap, amount)), %(digits)s)
    WHEN NOT capped THEN round(amount, %(digits)s)
END
FROM multiplied ORDER BY no
