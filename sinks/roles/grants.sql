-- Who may do what, whole, at the newest revision: run by every `rackmeter db migrate` after the revisions, in one
-- transaction. A revision that makes a table says here who may use it. None of the roles owns anything.

-- Nothing that is not said below, and no table that is not said below either.
DO $$
BEGIN
    EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA %I, customer'
                   ' FROM rackmeter_writer, rackmeter_reader, rackmeter_invoicer, rackmeter_customer', current_schema());
    EXECUTE format('REVOKE CREATE ON SCHEMA %I FROM PUBLIC', current_schema());
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO rackmeter_writer, rackmeter_reader, rackmeter_invoicer', current_schema());
    -- Temporary tables and functions are a customer's way to put names of his own before ours. The database of
    -- TimescaleDB in WebAssembly is its template, whose rights cannot be changed.
    IF current_database() <> 'template1' THEN
        EXECUTE format('REVOKE CREATE, TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
        EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO rackmeter_writer', current_database());
    END IF;
END $$;

-- The reader (Grafana): everything but secrets, and every table that is to come.
DO $$
BEGIN
    EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA %I TO rackmeter_reader', current_schema());
    EXECUTE format('ALTER DEFAULT PRIVILEGES IN SCHEMA %I GRANT SELECT ON TABLES TO rackmeter_reader', current_schema());
END $$;
REVOKE ALL ON agent_key, enrol_token, account FROM rackmeter_reader;
GRANT SELECT (kid, server_id, valid_from_ms, valid_to_ms) ON agent_key TO rackmeter_reader;
GRANT SELECT (token_id, server_id, renews, created_at, created_by, expires_at, revoked_at, used_at, used_from, kid)
    ON enrol_token TO rackmeter_reader;
GRANT SELECT (account_id, name, address, country, vat_id, currency, timezone, language,
    webhook_disabled_at, billed_from) ON account TO rackmeter_reader;

-- What worker and close both read: timelines, usage and what it came to.
GRANT SELECT ON
    alembic_version, account, accrual, alert_outbox, assignment, budget, catalog_plan, catalog_version, chain, contract, ingest_offset,
    ingest_topic, item, item_choice, item_interval, item_price, rating_scope, reading_anchor, scope_seal, series, series_set, server_origin,
    server_state, store_mark, usage, usage_late, usage_row, usage_window,
    assignment_past, item_choice_past, item_interval_past, item_past, item_price_past, timeline_change, timeline_late
    TO rackmeter_writer, rackmeter_invoicer;
-- Both rate: the close asks once more where hints were lost. What was billed in advance is on earlier invoices.
GRANT INSERT ON accrual, alert_outbox TO rackmeter_writer, rackmeter_invoicer;
GRANT SELECT (account_id, period_end, document) ON invoice TO rackmeter_writer;
GRANT UPDATE (as_of, inputs, figures, next_eval_at, revision) ON accrual TO rackmeter_writer, rackmeter_invoicer;

-- A first rating of a period keeps commands on the scope out until it is committed.
GRANT UPDATE (revision) ON rating_scope TO rackmeter_writer;

-- Whoever acts adds to the audit trail, and links by the owner's function alone. Nobody changes it, the owner neither.
GRANT INSERT ON audit_act, audit_said TO rackmeter_writer, rackmeter_invoicer;
REVOKE UPDATE, DELETE, TRUNCATE ON audit_act, audit_link, audit_head FROM CURRENT_USER;
REVOKE UPDATE, TRUNCATE ON audit_said FROM CURRENT_USER;
REVOKE DELETE, TRUNCATE ON audit_tip FROM CURRENT_USER;
REVOKE ALL ON audit_said FROM rackmeter_reader;

-- The writer: worker with its rater and deliveries, API, `rackmeter dlq`.
-- The archive of raw reports: the writer fills it, the nightly checks of the invoicer read it.
GRANT SELECT ON archive_span TO rackmeter_writer, rackmeter_invoicer;
GRANT SELECT ON dead_letter, usage_dropped TO rackmeter_invoicer;
GRANT SELECT (server_id, valid_from_ms) ON agent_key TO rackmeter_invoicer;
GRANT INSERT ON archive_span TO rackmeter_writer;
GRANT UPDATE (dropped_at) ON archive_span TO rackmeter_writer;
GRANT INSERT ON ingest_topic TO rackmeter_writer;
GRANT UPDATE (ts_type, drained_at, drained_by) ON ingest_topic TO rackmeter_writer;
GRANT INSERT, UPDATE ON ingest_offset, server_state, server_origin TO rackmeter_writer;
GRANT INSERT ON series_set, usage_window, usage_late, usage_stale, reading_anchor, dead_letter TO rackmeter_writer;
GRANT SELECT ON dead_letter TO rackmeter_writer;
GRANT UPDATE (published, retried_ms) ON dead_letter TO rackmeter_writer;
GRANT UPDATE (attempts, next_try_at, delivered_at, last_error, failed) ON alert_outbox TO rackmeter_writer;
GRANT UPDATE (webhook_disabled_at) ON account TO rackmeter_writer;
GRANT SELECT, INSERT, UPDATE ON budget_watch TO rackmeter_writer;
-- Enrolment locks the table of keys, which takes the right to change all of it.
GRANT SELECT, INSERT, UPDATE ON agent_key TO rackmeter_writer;
GRANT SELECT ON enrol_token TO rackmeter_writer;
GRANT UPDATE (used_at, used_from, kid) ON enrol_token TO rackmeter_writer;
GRANT USAGE ON SCHEMA customer TO rackmeter_writer;
GRANT EXECUTE ON FUNCTION customer.ticket TO rackmeter_writer;

-- The invoicer: `rackmeter invoice`.
GRANT SELECT ON close_outcome, conservation_violation, invoice, invoice_cut, invoice_line, invoice_number
    TO rackmeter_invoicer;
GRANT SELECT ON ledger_identity, number_outside TO rackmeter_invoicer;
GRANT INSERT ON number_outside TO rackmeter_invoicer;
GRANT UPDATE (certain) ON number_outside TO rackmeter_invoicer;
GRANT INSERT ON close_outcome, invoice, invoice_cut, invoice_line, invoice_number, scope_seal TO rackmeter_invoicer;
GRANT UPDATE ON close_outcome TO rackmeter_invoicer;
GRANT UPDATE (next) ON invoice_number TO rackmeter_invoicer;
-- Corrections of sealed periods; the rater asks what earlier ones were corrected to.
GRANT SELECT, INSERT ON adjustment, adjustment_line, seal_open TO rackmeter_invoicer;
GRANT SELECT, INSERT, DELETE ON adjust_due TO rackmeter_invoicer;
GRANT SELECT, INSERT, UPDATE ON adjust_mark TO rackmeter_invoicer;
GRANT SELECT, INSERT ON close_run TO rackmeter_invoicer;
GRANT UPDATE (ended_at, outcomes) ON close_run TO rackmeter_invoicer;
GRANT SELECT ON adjustment, adjustment_line TO rackmeter_writer;
-- Money: who closes taxes, draws and books; a worker and the API book what providers tell.
GRANT SELECT ON invoice_status, journal_entry, journal_posting, tax_profile, wallet_credit, wallet_draw,
    wallet_threshold
    TO rackmeter_writer, rackmeter_invoicer;
GRANT INSERT ON journal_entry, journal_posting TO rackmeter_writer, rackmeter_invoicer;
GRANT INSERT ON wallet_draw TO rackmeter_invoicer;
GRANT UPDATE (low, crossings) ON wallet_threshold TO rackmeter_writer;
GRANT UPDATE (drawn) ON wallet_credit TO rackmeter_invoicer;
-- To lock rows takes the right to change them; the policies below leave the lock alone.
GRANT UPDATE ON rating_scope, item TO rackmeter_invoicer;

-- Both take payments: the API by what a gateway tells it, `rackmeter payment` by asking.
GRANT SELECT, INSERT ON
    bank_transfer, bank_transfer_back, dunning, dunning_change, payment_attempt, payment_customer, payment_event,
    payment_method, payment_refund
    TO rackmeter_writer, rackmeter_invoicer;
GRANT SELECT (invoice_id, number) ON invoice TO rackmeter_writer;
GRANT UPDATE (received, received_at, canceled_at) ON bank_transfer TO rackmeter_writer, rackmeter_invoicer;
GRANT UPDATE (sent_at) ON bank_transfer_back TO rackmeter_writer, rackmeter_invoicer;
GRANT UPDATE ON dunning, payment_attempt, payment_event, payment_method, payment_refund
    TO rackmeter_writer, rackmeter_invoicer;

-- The customer: what he sees of these tables is decided by the policies below, of all else by the views.
GRANT SELECT (account_id, name, address, country, vat_id, currency, timezone) ON account TO rackmeter_customer;
GRANT SELECT ON rating_scope, item, invoice, invoice_line TO rackmeter_customer;
GRANT SELECT (alert_id, account_id, channel, scope_id, period_start, threshold, kind, body, sampled_at, created_at, attempts,
              delivered_at, last_error, failed) ON alert_outbox TO rackmeter_customer;
GRANT USAGE ON SCHEMA customer TO rackmeter_customer;
GRANT SELECT ON
    customer.account, customer.alert, customer.charge, customer.invoice, customer.invoice_line, customer.invoice_status,
    customer.item, customer.statement, customer.usage_day, customer.usage_hour, customer.usage_month
    TO rackmeter_customer;
GRANT EXECUTE ON FUNCTION customer.current_account TO rackmeter_customer;

-- Row security where customers read tables. For the others a policy that is constantly true, which plans forget.
DO $$
DECLARE
    tab  text;
    mine text;
    said CONSTANT text := 'account_id = (SELECT customer.current_account())';
BEGIN
    FOR tab, mine IN VALUES
        ('account', said), ('rating_scope', said), ('invoice', said),
        ('alert_outbox', said || ' AND channel <> ''command'''),
        ('item', 'scope_id IN (SELECT scope_id FROM rating_scope)'),
        ('invoice_line', 'invoice_id IN (SELECT invoice_id FROM invoice)')
    LOOP
        CONTINUE WHEN EXISTS (SELECT FROM pg_policy WHERE polrelid = tab::regclass AND polname = 'customer');
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', tab);
        EXECUTE format('CREATE POLICY customer ON %I FOR SELECT TO rackmeter_customer USING (%s)', tab, mine);
        EXECUTE format('CREATE POLICY staff ON %I %s TO rackmeter_writer, rackmeter_reader, rackmeter_invoicer USING (true)',
                       tab, CASE WHEN tab IN ('rating_scope', 'item') THEN 'FOR SELECT' ELSE '' END);
        IF tab IN ('rating_scope', 'item') THEN
            EXECUTE format('CREATE POLICY locked ON %I FOR UPDATE TO rackmeter_writer, rackmeter_invoicer USING (true) WITH CHECK (false)', tab);
        END IF;
    END LOOP;
END $$;
