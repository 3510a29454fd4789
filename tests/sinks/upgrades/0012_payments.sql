INSERT INTO payment_customer VALUES ('acme', 'stripe', 'cus_1');
INSERT INTO payment_method VALUES ('stripe', 'pm_1', 'acme', 'card', 'visa •••• 4242, 12/2028', '2026-03-01Z');
INSERT INTO payment_attempt (attempt_id, invoice_id, number, account_id, gateway, customer, token, currency, amount,
                             state, reference, received, fee, intended_at, ended_at)
VALUES ('00000000-0000-0000-0000-0000000000a1', '00000000-0000-0000-0000-0000000000f1', 1, 'acme', 'stripe', 'cus_1',
        'pm_1', 'EUR', 119, 'paid', 'pi_1', 119, 1.98, '2026-03-15Z', '2026-03-15Z');
INSERT INTO payment_refund (refund_id, attempt_id, amount, state, reference, reason, asked_by, asked_at, ended_at)
VALUES ('00000000-0000-0000-0000-0000000000b1', '00000000-0000-0000-0000-0000000000a1', 19, 'done', 're_1', 'goodwill',
        'operator', '2026-03-16Z', '2026-03-16Z');
INSERT INTO payment_event VALUES ('stripe', 'evt_1', 'payment_intent.succeeded', 'pi_1', 'digest', '2026-03-15Z',
                                  '2026-03-15Z', 'paid');
INSERT INTO bank_transfer VALUES ('00000000-0000-0000-0000-0000000000a2', 'RF18539007547034', 'acme', 'EUR', 119, 119,
                                  '2026-03-20Z', NULL);
INSERT INTO bank_transfer_back VALUES ('00000000-0000-0000-0000-0000000000b2', 'RF18539007547034', 19, NULL);
INSERT INTO dunning VALUES ('acme', 'overdue', '2026-03-16Z', '2026-03-16Z', 'restricted', '2026-03-23Z');
INSERT INTO dunning_change (account_id, at, before, after, because, by)
VALUES ('acme', '2026-03-16Z', 'current', 'overdue', 'RM-2026-000001 is unpaid', 'rackmeter');
