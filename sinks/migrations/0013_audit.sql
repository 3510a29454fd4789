-- The audit trail: who did what to money, prices, customers, keys and timelines, and why. Rows are added only, and each
-- is linked to the one before it by SHA-256 at the end of the transaction that acts (docs/decisions/0023-…).

-- One row an act, entered in its transaction by sinks.audit. What was said, and the states before and after, stand
-- here as digests with a key of the row's own (audit_said.salt): whoever erases them leaves nothing to be guessed.
CREATE TABLE audit_act (
    act_id     uuid PRIMARY KEY,
    at         timestamptz NOT NULL,            -- when it was done, as said by who did it
    action     text NOT NULL CHECK (action ~ '^[a-z][a-z-]*[.][a-z][a-z-]*$'),
    subject    text NOT NULL,                   -- account/acme, item/web-1, invoice/RM-DE-2026-000001
    account_id text NOT NULL,                   -- whose; empty: nobody's. No reference: the trail outlives what it is about
    actor      text NOT NULL,                   -- person, console or service
    login      text NOT NULL,                   -- of the database: refuse_foreign_act sees to it
    personal   boolean NOT NULL,                -- audit_said holds data of a person and may be erased
    reason     text NOT NULL,                   -- keyed digests, in hex; empty: there is none
    before     text NOT NULL,
    after      text NOT NULL,
    digest     text NOT NULL                    -- SHA-256 of all of the above in RFC 8785 form
);
CREATE INDEX audit_act_subject ON audit_act (subject);
CREATE INDEX audit_act_account ON audit_act (account_id);
CREATE INDEX audit_act_at ON audit_act USING brin (at);

-- What the digests are of.
CREATE TABLE audit_said (
    act_id     uuid PRIMARY KEY,
    account_id text NOT NULL,
    personal   boolean NOT NULL,
    salt       bytea NOT NULL CHECK (octet_length(salt) = 32),
    reason     text NOT NULL,
    before     jsonb,
    after      jsonb
);
CREATE INDEX audit_said_account ON audit_said (account_id);

-- The chain: number without a gap, digest of {act, number, previous}.
CREATE TABLE audit_link (
    number   bigint PRIMARY KEY,
    act_id   uuid NOT NULL UNIQUE,
    act      text NOT NULL,                     -- audit_act.digest
    previous text NOT NULL,
    digest   text NOT NULL
);

-- Its end, in one row: the lock of whoever links. The first link follows the ledger's own id.
CREATE TABLE audit_tip (
    one    boolean PRIMARY KEY DEFAULT true CHECK (one),
    number bigint NOT NULL,
    digest text NOT NULL
);
INSERT INTO audit_tip (number, digest)
    SELECT 0, encode(sha256(convert_to('rackmeter.audit/1 ' || ledger_id, 'UTF8')), 'hex') FROM ledger_identity;

-- Heads of the chain that were signed, as they stand in the file outside the database (sinks.audit_heads).
CREATE TABLE audit_head (
    head_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    line    text NOT NULL
);

-- At the end of the transaction: whoever links waits for nobody but those who are about to commit, so no two can wait
-- for each other. It belongs to the owner: roles that may act cannot write links.
CREATE FUNCTION link_audit_act() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    tip  audit_tip;
    hash text;
BEGIN
    SELECT * INTO STRICT tip FROM audit_tip FOR UPDATE;
    tip.number := tip.number + 1;
    hash := encode(sha256(convert_to(
        format('{"act":"%s","number":"%s","previous":"%s"}', NEW.digest, tip.number, tip.digest), 'UTF8')), 'hex');
    INSERT INTO audit_link VALUES (tip.number, NEW.act_id, NEW.digest, tip.digest, hash);
    UPDATE audit_tip SET number = tip.number, digest = hash;
    RETURN NULL;
END $$;
-- Whoever may make tables could hang it on one of his own otherwise, and link what he likes.
REVOKE EXECUTE ON FUNCTION link_audit_act FROM PUBLIC;
CREATE CONSTRAINT TRIGGER audit_act_linked AFTER INSERT ON audit_act
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION link_audit_act();

CREATE FUNCTION refuse_foreign_act() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.login <> session_user THEN
        RAISE EXCEPTION 'act of % refused: this is a session of %', NEW.login, session_user;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER audit_act_own BEFORE INSERT ON audit_act FOR EACH ROW EXECUTE FUNCTION refuse_foreign_act();

-- Nobody changes what was entered, the owner neither, and not where replication switches triggers off.
CREATE FUNCTION refuse_audit_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% of % refused: the audit trail is added to only', TG_OP, TG_TABLE_NAME;
END $$;
CREATE TRIGGER audit_act_final BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_act
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change();
CREATE TRIGGER audit_link_final BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_link
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change();
CREATE TRIGGER audit_head_final BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_head
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change();
CREATE TRIGGER audit_tip_final BEFORE DELETE OR TRUNCATE ON audit_tip
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change();
CREATE TRIGGER audit_said_final BEFORE UPDATE OR TRUNCATE ON audit_said
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change();

-- An erasure names its account in rackmeter.erasing (sinks.erase), and takes what is personal of it.
CREATE FUNCTION refuse_audit_erasure() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT OLD.personal OR OLD.account_id <> coalesce(current_setting('rackmeter.erasing', true), '') THEN
        RAISE EXCEPTION 'DELETE of audit_said refused: only an erasure takes what is personal of its account';
    END IF;
    RETURN OLD;
END $$;
CREATE TRIGGER audit_said_erased BEFORE DELETE ON audit_said FOR EACH ROW EXECUTE FUNCTION refuse_audit_erasure();

ALTER TABLE audit_act ENABLE ALWAYS TRIGGER audit_act_own, ENABLE ALWAYS TRIGGER audit_act_linked,
    ENABLE ALWAYS TRIGGER audit_act_final;
ALTER TABLE audit_link ENABLE ALWAYS TRIGGER audit_link_final;
ALTER TABLE audit_head ENABLE ALWAYS TRIGGER audit_head_final;
ALTER TABLE audit_tip ENABLE ALWAYS TRIGGER audit_tip_final;
ALTER TABLE audit_said ENABLE ALWAYS TRIGGER audit_said_final, ENABLE ALWAYS TRIGGER audit_said_erased;
