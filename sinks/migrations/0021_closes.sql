-- Each close that was not of a trial: what for, for whom, how it ended. What everybody was closed for decides since when
-- everybody is billed here.
CREATE TABLE close_run (
    run_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    month    text,                      -- 2026-02, or
    as_of    timestamptz,               -- an instant
    accounts text[],                    -- null: everybody
    began_at timestamptz NOT NULL,
    since    timestamptz,               -- start of the first period with anything to bill; null: nothing
    ended_at timestamptz,               -- null: under way, or killed
    outcomes jsonb                      -- status → how many invoices and credit notes
);
INSERT INTO close_run (began_at, since, ended_at)
SELECT entered_before, period_start, entered_before FROM scope_seal ORDER BY period_start, entered_before LIMIT 1;

-- The first day of the first month that an account is billed for here, where somebody has said so.
ALTER TABLE account ADD COLUMN billed_from date CHECK (extract(day FROM billed_from) = 1);
