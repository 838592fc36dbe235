-- One live append, number :n: a declaration for a permit that the log knows.
INSERT INTO log.events (entity, stream_id, version, type, occurred_at, data)
SELECT 'international_declaration', 'live-declaration-' || :n, 0, 'Declaration SUBMITTED by EMPLOYEE', now(),
       jsonb_build_object('amount', 10.00 + :n, 'permit', id, 'unit', 'live')
FROM (SELECT id FROM readmodel."travel-permits" ORDER BY id OFFSET :n LIMIT 1) AS permit
RETURNING position AS appended \gset
\set query travel-permits
\set events log.events
