-- What was agreed with one customer: prices are in item_price, what holds for a whole rating scope is here.

CREATE TABLE contract (
    version     text PRIMARY KEY REFERENCES catalog_version,
    base        text NOT NULL REFERENCES catalog_version,
    scope_id    text NOT NULL REFERENCES rating_scope,
    valid       tstzrange NOT NULL CHECK (NOT isempty(valid) AND lower_inc(valid) AND NOT upper_inc(valid)),
    discounts   jsonb NOT NULL,                  -- rows of schemas.terms, their time inside valid
    commitments jsonb NOT NULL,
    entered_at  timestamptz NOT NULL,
    EXCLUDE USING gist (scope_id WITH =, valid WITH &&)
);

-- A published version never changes, whoever asks.
CREATE FUNCTION refuse_catalog_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% of % refused: a published version never changes, publish another', TG_OP, TG_TABLE_NAME;
END $$;
CREATE TRIGGER catalog_version_final BEFORE UPDATE OR DELETE ON catalog_version
    FOR EACH ROW EXECUTE FUNCTION refuse_catalog_change();
