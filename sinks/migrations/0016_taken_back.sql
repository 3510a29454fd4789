-- What corrections give back to a wallet, what a corrected period leaves to later ones, and what a close said of them.
-- Few rows, and constraints that allow more than those before: nobody assumes the narrower ones.
-- squawk-ignore-file ban-drop-constraint, constraint-missing-not-valid, adding-serial-primary-key-field

-- A draw below zero gives back what an invoice drew, when that invoice is corrected. `drawn` never falls below zero.
ALTER TABLE wallet_draw DROP CONSTRAINT wallet_draw_amount_check;
ALTER TABLE wallet_draw ADD CONSTRAINT wallet_draw_amount_check CHECK (amount <> 0);

-- Packs and allowances as the period leaves them by this look; the newest look is what later periods find.
ALTER TABLE adjustment ADD COLUMN lots jsonb NOT NULL DEFAULT '[]';

-- A correction has an outcome of its own beside that of its period's invoice: `corrects` is the invoice it is about.
ALTER TABLE close_outcome
    ADD COLUMN correction boolean NOT NULL DEFAULT false,
    ADD COLUMN corrects   text NOT NULL DEFAULT '';
ALTER TABLE close_outcome DROP CONSTRAINT close_outcome_pkey;
ALTER TABLE close_outcome ADD PRIMARY KEY (account_id, currency, period_start, correction, corrects);
