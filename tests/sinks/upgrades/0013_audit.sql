-- Two acts of one transaction, one of them on a person, and a head that was signed (not really: nobody verifies it here).
INSERT INTO audit_said VALUES
    ('00000000-0000-4000-8000-000000000001', '', false, decode(repeat('00', 32), 'hex'), 'spring prices', NULL, '{"version": "v1"}'),
    ('00000000-0000-4000-8000-000000000002', 'a', true, decode(repeat('00', 32), 'hex'), 'asked for', '{}', '{"to": ["a@b.example"]}');
INSERT INTO audit_act VALUES
    ('00000000-0000-4000-8000-000000000001', '2026-02-20Z', 'catalog.apply', 'catalog/v1', '', 'op@host', session_user, false,
     '00', '', '00', repeat('0', 64)),
    ('00000000-0000-4000-8000-000000000002', '2026-02-20Z', 'account.mail', 'account/a', 'a', 'op@host', session_user, true,
     '00', '00', '00', repeat('1', 64));
INSERT INTO audit_head (line) VALUES ('{"format":"rackmeter.audit-head/1"}');
