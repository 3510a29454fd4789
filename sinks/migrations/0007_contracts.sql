-- What was agreed with one customer: prices are in item_price, what holds for a whole rating scope is here.

CREATE TABLE contract (
    version     text PRIMARY KEY REFERENCES catalog_version,
    base        text NOT NULL REFERENCES catalog_version,
    scope_id    text NOT NULL REFERENCES rating_scope,
    valid       tstzrange NOT NULL CHECK (NOT isempty(valid) AND lower_inc(valid) AND NOT upper_inc(valid)),
    discounts   jsonb NOT NULL,                  -- rows of schemas.terms, their time inside valid
    commitments jsonb NOT NULL,
    entered_at  timestamptz NOT NULL,
    number      bigint GENERATED ALWAYS AS IDENTITY
);
CREATE INDEX contract_scope ON contract (scope_id);

-- Contracts with the time for which each holds, as far as was known at an instant: the one entered last ends the
-- others where it begins.
CREATE FUNCTION contract_known(known timestamptz DEFAULT 'infinity')
RETURNS TABLE (version text, scope_id text, valid tstzrange, discounts jsonb, commitments jsonb)
LANGUAGE sql STABLE AS $$
    SELECT c.version, c.scope_id, tstzrange(lower(c.valid), least(upper(c.valid), later.start), '[)'),
           c.discounts, c.commitments
    FROM contract c
    CROSS JOIN LATERAL (SELECT min(lower(l.valid)) AS start FROM contract l
                        WHERE l.scope_id = c.scope_id AND l.number > c.number AND l.entered_at <= known) later
    WHERE c.entered_at <= known AND (later.start IS NULL OR later.start > lower(c.valid))
$$;

-- A published version never changes, whoever asks.
CREATE FUNCTION refuse_catalog_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% of % refused: a published version never changes, publish another', TG_OP, TG_TABLE_NAME;
END $$;
CREATE TRIGGER catalog_version_final BEFORE UPDATE OR DELETE ON catalog_version
    FOR EACH ROW EXECUTE FUNCTION refuse_catalog_change();
CREATE TRIGGER contract_final BEFORE UPDATE OR DELETE ON contract
    FOR EACH ROW EXECUTE FUNCTION refuse_catalog_change();
