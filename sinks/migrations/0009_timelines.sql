-- What was known when: the timelines hold what is current, beside each lies what was said before and by which
-- command. Nobody has to remember to keep it: triggers do.

-- One row a command that changed something, or that has a request id: repeating it gives its answer again.
CREATE TABLE timeline_change (
    change_id  bigint PRIMARY KEY,
    request_id text UNIQUE,
    command    text NOT NULL,
    content    jsonb NOT NULL,                  -- what was asked for; another content needs another request id
    at         timestamptz NOT NULL,            -- when it is true
    entered_at timestamptz NOT NULL,            -- when it was given
    entered_by text NOT NULL,
    reason     text NOT NULL,
    scopes     text[] NOT NULL,                 -- whose figures it may have changed
    answer     jsonb NOT NULL
);
CREATE INDEX timeline_change_scopes ON timeline_change USING gin (scopes);
CREATE SEQUENCE timeline_change_number AS bigint OWNED BY timeline_change.change_id;
CREATE FUNCTION refuse_timeline_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% of % refused: what was said is kept', TG_OP, TG_TABLE_NAME;
END $$;
CREATE TRIGGER timeline_change_final BEFORE UPDATE OR DELETE ON timeline_change
    FOR EACH ROW EXECUTE FUNCTION refuse_timeline_change();

-- Sealed periods that a command came too late for: each may need an adjustment.
CREATE TABLE timeline_late (
    scope_id     text NOT NULL,
    period_start timestamptz NOT NULL,
    change_id    bigint NOT NULL REFERENCES timeline_change,
    PRIMARY KEY (scope_id, period_start, change_id),
    FOREIGN KEY (scope_id, period_start) REFERENCES scope_seal
);

-- Counts the commands on a scope's timelines; its row is their lock, before the rows of items.
ALTER TABLE rating_scope ADD COLUMN revision bigint NOT NULL DEFAULT 0;

ALTER TABLE item ADD COLUMN entered_at timestamptz NOT NULL DEFAULT now();
UPDATE item SET entered_at = coalesce((SELECT min(entered_at) FROM assignment a WHERE a.item_id = item.item_id), lower(valid));
ALTER TABLE item_price ADD COLUMN plan text NOT NULL DEFAULT '';  -- that the item had; an add-on's price too
UPDATE item_price SET plan = (SELECT plan FROM item WHERE item.item_id = item_price.item_id);

ALTER TABLE item ADD COLUMN change_id bigint;
ALTER TABLE assignment ADD COLUMN change_id bigint;
ALTER TABLE item_price ADD COLUMN change_id bigint;
ALTER TABLE item_interval ADD COLUMN change_id bigint;

-- What is no longer current: true as far as was known from entered_at until superseded_at.
CREATE TABLE item_past (LIKE item, superseded_at timestamptz NOT NULL, superseded_by bigint);
CREATE TABLE assignment_past (LIKE assignment, superseded_at timestamptz NOT NULL, superseded_by bigint);
CREATE TABLE item_price_past (LIKE item_price, superseded_at timestamptz NOT NULL, superseded_by bigint);
CREATE TABLE item_interval_past (LIKE item_interval, superseded_at timestamptz NOT NULL, superseded_by bigint);
CREATE INDEX item_past_item ON item_past (item_id);
CREATE INDEX assignment_past_item ON assignment_past (item_id);
CREATE INDEX assignment_past_server ON assignment_past (server_id);
CREATE INDEX item_price_past_item ON item_price_past (item_id);
CREATE INDEX item_interval_past_item ON item_interval_past (item_id);

-- A command says its number and time in the settings rackmeter.change and rackmeter.entered_at (sinks.changes).
CREATE FUNCTION keep_timeline() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    change  CONSTANT bigint := nullif(current_setting('rackmeter.change', true), '');
    entered CONSTANT timestamptz := CASE WHEN change IS NULL THEN now()
                                         ELSE current_setting('rackmeter.entered_at')::timestamptz END;
BEGIN
    IF TG_OP <> 'INSERT' THEN
        EXECUTE format('INSERT INTO %I.%I SELECT ($1).*, $2, $3', TG_TABLE_SCHEMA, TG_TABLE_NAME || '_past')
        USING OLD, greatest(entered, OLD.entered_at), change;
    END IF;
    IF TG_OP = 'DELETE' THEN
        RETURN OLD;
    END IF;
    NEW.change_id := change;
    IF TG_OP = 'UPDATE' THEN
        NEW.entered_at := greatest(entered, OLD.entered_at);
    ELSIF change IS NOT NULL THEN
        NEW.entered_at := entered;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER item_kept BEFORE INSERT OR UPDATE OR DELETE ON item FOR EACH ROW EXECUTE FUNCTION keep_timeline();
CREATE TRIGGER assignment_kept BEFORE INSERT OR UPDATE OR DELETE ON assignment FOR EACH ROW EXECUTE FUNCTION keep_timeline();
CREATE TRIGGER item_price_kept BEFORE INSERT OR UPDATE OR DELETE ON item_price FOR EACH ROW EXECUTE FUNCTION keep_timeline();
CREATE TRIGGER item_interval_kept BEFORE INSERT OR UPDATE OR DELETE ON item_interval FOR EACH ROW EXECUTE FUNCTION keep_timeline();

-- The timelines as they were known at an instant.
CREATE FUNCTION item_known(known timestamptz) RETURNS SETOF item LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT item_id, scope_id, title, plan, valid, entered_at, change_id FROM item WHERE entered_at <= known
    UNION ALL
    SELECT item_id, scope_id, title, plan, valid, entered_at, change_id FROM item_past
    WHERE entered_at <= known AND known < superseded_at;
END;
CREATE FUNCTION assignment_known(known timestamptz) RETURNS SETOF assignment LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT server_id, item_id, valid, entered_at, change_id FROM assignment WHERE entered_at <= known
    UNION ALL
    SELECT server_id, item_id, valid, entered_at, change_id FROM assignment_past
    WHERE entered_at <= known AND known < superseded_at;
END;
CREATE FUNCTION item_price_known(known timestamptz) RETURNS SETOF item_price LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT item_id, charge, valid, price, tax, version, reason, entered_at, plan, change_id
    FROM item_price WHERE entered_at <= known
    UNION ALL
    SELECT item_id, charge, valid, price, tax, version, reason, entered_at, plan, change_id
    FROM item_price_past WHERE entered_at <= known AND known < superseded_at;
END;
CREATE FUNCTION item_interval_known(known timestamptz) RETURNS SETOF item_interval LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT item_id, kind, valid, reason, entered_at, change_id FROM item_interval WHERE entered_at <= known
    UNION ALL
    SELECT item_id, kind, valid, reason, entered_at, change_id FROM item_interval_past
    WHERE entered_at <= known AND known < superseded_at;
END;

-- When a metered server was nobody's: its usage of that time is the house's.
CREATE VIEW unassigned_span AS
    SELECT s.server_id, lower(gap) AS low, upper(gap) AS high
    FROM (SELECT DISTINCT server_id FROM server_state) s
    CROSS JOIN LATERAL (
        SELECT '{(,)}'::tstzmultirange - coalesce(range_agg(a.valid * i.valid), '{}') AS gaps
        FROM assignment a JOIN item i USING (item_id) WHERE a.server_id = s.server_id
    ) free
    CROSS JOIN LATERAL unnest(free.gaps) AS gap;
