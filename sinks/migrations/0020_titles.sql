-- What a version calls its plans. An item whose title is empty is called as the plan that it has at a time is by the
-- version of its price.
CREATE TABLE catalog_plan (
    version text NOT NULL REFERENCES catalog_version,
    plan    text NOT NULL,
    title   text NOT NULL,
    PRIMARY KEY (version, plan)
);

-- The price of an add-on is of no plan; rows from before 0019 name the one that the item had.
ALTER TABLE item_price DISABLE TRIGGER item_price_kept;
UPDATE item_price p SET plan = ''
WHERE plan <> '' AND EXISTS (SELECT FROM item_choice c
                             WHERE (c.item_id, c.part, c.name, c.at) = (p.item_id, 'addon', p.charge, lower(p.valid))
                               AND c.value <> '0');
ALTER TABLE item_price ENABLE TRIGGER item_price_kept;
UPDATE item_price_past p SET plan = ''
WHERE plan <> '' AND EXISTS (SELECT FROM item_choice c WHERE (c.item_id, c.part, c.name) = (p.item_id, 'addon', p.charge));

-- Items with the plan and title of now; of one that has ended with its last.
CREATE VIEW item_now AS
    SELECT i.item_id, i.scope_id, coalesce(nullif(i.title, ''), now.title, i.plan) AS title,
           coalesce(now.plan, i.plan) AS plan, i.valid
    FROM item i
    LEFT JOIN LATERAL (
        SELECT p.plan, c.title FROM item_price p LEFT JOIN catalog_plan c USING (version, plan)
        WHERE p.item_id = i.item_id AND p.plan <> ''
          AND p.valid @> greatest(lower(i.valid), least(now(), upper(i.valid) - interval '1 microsecond'))
        LIMIT 1
    ) now ON true;

-- A customer's, as their owner: what others have agreed is in the tables that it asks.
CREATE OR REPLACE VIEW customer.item WITH (security_barrier) AS
    SELECT item_id, scope_id, title, plan, lower(valid) AS rented_from, upper(valid) AS rented_to
    FROM item_now JOIN rating_scope USING (scope_id)
    WHERE account_id = (SELECT customer.current_account());
DROP POLICY IF EXISTS customer ON item_choice;
DROP POLICY IF EXISTS staff ON item_choice;
ALTER TABLE item_choice DISABLE ROW LEVEL SECURITY;
