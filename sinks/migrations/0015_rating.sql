-- What earlier ratings saw of allowances with a forecast: what a pace is taken from (pipeline.thresholds).
ALTER TABLE accrual ADD COLUMN marks jsonb NOT NULL DEFAULT '{}';

-- The tax category is said once, in the price. Nothing is released that reads the column.
-- squawk-ignore ban-drop-function
DROP FUNCTION item_price_known(timestamptz);
-- squawk-ignore ban-drop-column
ALTER TABLE item_price DROP COLUMN tax;
-- squawk-ignore ban-drop-column
ALTER TABLE item_price_past DROP COLUMN tax;
CREATE FUNCTION item_price_known(known timestamptz) RETURNS SETOF item_price LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT item_id, charge, valid, price, version, reason, entered_at, plan, change_id
    FROM item_price WHERE entered_at <= known
    UNION ALL
    SELECT item_id, charge, valid, price, version, reason, entered_at, plan, change_id
    FROM item_price_past WHERE entered_at <= known AND known < superseded_at;
END;
