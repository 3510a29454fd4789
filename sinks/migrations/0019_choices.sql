-- What was chosen for an item and from when on. Its prices and servers are derived of all of it (pipeline.choices), so
-- that no command loses what another one said, in whichever order they come.
CREATE TABLE item_choice (
    item_id    text NOT NULL REFERENCES item,
    part       text NOT NULL CHECK (part IN ('plan', 'addon', 'server', 'prices')),
    name       text NOT NULL DEFAULT '',        -- the add-on's; the version of prices that were applied
    at         timestamptz NOT NULL,
    value      text NOT NULL,                   -- the plan, how many of the add-on, the server
    version    text REFERENCES catalog_version, -- whose prices; a server has none
    number     bigint GENERATED ALWAYS AS IDENTITY,
    entered_at timestamptz NOT NULL,
    change_id  bigint,
    PRIMARY KEY (item_id, part, name, at)
);
CREATE TABLE item_choice_past (LIKE item_choice, superseded_at timestamptz NOT NULL, superseded_by bigint);
CREATE INDEX item_choice_past_item ON item_choice_past (item_id);
CREATE TRIGGER item_choice_kept BEFORE INSERT OR UPDATE OR DELETE ON item_choice FOR EACH ROW EXECUTE FUNCTION keep_timeline();
CREATE FUNCTION item_choice_known(known timestamptz) RETURNS SETOF item_choice LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT item_id, part, name, at, value, version, number, entered_at, change_id FROM item_choice WHERE entered_at <= known
    UNION ALL
    SELECT item_id, part, name, at, value, version, number, entered_at, change_id FROM item_choice_past
    WHERE entered_at <= known AND known < superseded_at;
END;

-- What the rows say that there are.
INSERT INTO item_choice (item_id, part, at, value, entered_at, change_id)
SELECT item_id, 'server', lower(valid), server_id, entered_at, change_id FROM assignment;

WITH said AS (
    SELECT p.*, EXISTS (
        SELECT FROM catalog_version v LEFT JOIN contract c USING (version) LEFT JOIN catalog_version b ON b.version = c.base
        WHERE v.version = p.version AND strpos(concat(v.body, b.body), '[addon.' || p.charge || ']') > 0
    ) AS addon
    FROM item_price p
), planned AS (
    SELECT DISTINCT ON (item_id, lower(valid)) * FROM said WHERE NOT addon ORDER BY item_id, lower(valid), charge
), change AS (
    SELECT *, lag(plan) OVER (PARTITION BY item_id ORDER BY lower(valid)) IS NOT DISTINCT FROM plan AS same FROM planned
)
INSERT INTO item_choice (item_id, part, name, at, value, version, entered_at, change_id)
SELECT item_id, CASE WHEN same THEN 'prices' ELSE 'plan' END, CASE WHEN same THEN version ELSE '' END, lower(valid),
       CASE WHEN same THEN '' ELSE plan END, version, entered_at, change_id
FROM change ORDER BY item_id, lower(valid);

WITH booked AS (
    SELECT p.*, coalesce((p.price #>> '{quantity,count}')::bigint, 1)::text AS number,
           lag(upper(p.valid)) OVER mine AS before, lead(lower(p.valid)) OVER mine AS next
    FROM item_price p
    WHERE EXISTS (
        SELECT FROM catalog_version v LEFT JOIN contract c USING (version) LEFT JOIN catalog_version b ON b.version = c.base
        WHERE v.version = p.version AND strpos(concat(v.body, b.body), '[addon.' || p.charge || ']') > 0
    )
    WINDOW mine AS (PARTITION BY p.item_id, p.charge ORDER BY lower(p.valid))
)
INSERT INTO item_choice (item_id, part, name, at, value, version, entered_at, change_id)
SELECT item_id, 'addon', charge, lower(valid), number, version, entered_at, change_id FROM booked
UNION ALL
SELECT b.item_id, 'addon', b.charge, upper(b.valid), '0', NULL, b.entered_at, b.change_id
FROM booked b JOIN item i USING (item_id)
WHERE upper(b.valid) IS DISTINCT FROM upper(i.valid) AND b.next IS DISTINCT FROM upper(b.valid);

-- A customer sees the plan that his item has now; item.plan is the one it was rented with.
CREATE OR REPLACE VIEW customer.item WITH (security_barrier, security_invoker) AS
    SELECT item_id, scope_id, title,
           (SELECT c.value FROM item_choice c
            WHERE c.item_id = item.item_id AND c.part = 'plan'
              AND c.at <= greatest(lower(valid), least(now(), upper(valid) - interval '1 microsecond'))
            ORDER BY c.at DESC LIMIT 1) AS plan,
           lower(valid) AS rented_from, upper(valid) AS rented_to
    FROM item;

-- A contract lasts until its end or the start of the scope's next one, in whichever order they were entered; of two from
-- one instant the one entered last holds.
CREATE OR REPLACE FUNCTION contract_known(known timestamptz DEFAULT 'infinity')
RETURNS TABLE (version text, scope_id text, valid tstzrange, discounts jsonb, commitments jsonb)
LANGUAGE sql STABLE AS $$
    SELECT c.version, c.scope_id, tstzrange(lower(c.valid), least(upper(c.valid), next.start), '[)'),
           c.discounts, c.commitments
    FROM contract c
    CROSS JOIN LATERAL (SELECT min(lower(l.valid)) AS start FROM contract l
                        WHERE l.scope_id = c.scope_id AND lower(l.valid) > lower(c.valid) AND l.entered_at <= known) next
    WHERE c.entered_at <= known
      AND NOT EXISTS (SELECT FROM contract l WHERE l.scope_id = c.scope_id AND lower(l.valid) = lower(c.valid)
                      AND l.number > c.number AND l.entered_at <= known)
$$;
