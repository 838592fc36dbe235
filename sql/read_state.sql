-- read_state() and read_states(): what the HTTP service answers from. A status where get() raises, and pages in the order of the key.
SET client_min_messages = warning;
SELECT readmodel.create_event_table('read_events');
SELECT readmodel.create_source('read_source', 'read_events');
CREATE FUNCTION read_last(state jsonb, event jsonb) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF event->>'type' = 'Broken' THEN
        RAISE division_by_zero USING MESSAGE = 'secret ' || (event->'data'->>'secret');
    END IF;
    RETURN event->'data';
END $$;
-- Each look has a snapshot of its own.
CREATE FUNCTION read_until(query text, wanted text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    now text;
BEGIN
    FOR look IN 1 .. 1200 LOOP
        SELECT status INTO now FROM readmodel.read_state(query, NULL);
        EXIT WHEN now = wanted;
        PERFORM pg_sleep(0.025);
    END LOOP;
    RETURN now;
END $$;

SELECT readmodel.define_query('read text', 'read_source', 'read_last(jsonb, jsonb)', 'stream');
SELECT readmodel.define_query('read_bigint', 'read_source', 'read_last(jsonb, jsonb)', $$(data->>'number')::bigint$$);
SELECT readmodel.define_query('read_uuid', 'read_source', 'read_last(jsonb, jsonb)', $$(data->>'uuid')::uuid$$);
-- Ids that a query parameter, a path or SQL could stumble over.
INSERT INTO read_events (stream_id, type, data)
SELECT id, 'A', jsonb_build_object('number', (n - 4) * 1000000000000, 'uuid', lpad(to_hex(n * 40), 32, '0'))
FROM unnest(ARRAY['a', 'B', 'b', 'Z', '10', '9', $$it's$$, 'say "hi"', E'back\\slash', 'a/b?c=d&e', 'Ä', 'é', ' ', '', '%', E'tab\t'])
    WITH ORDINALITY AS i(id, n);
SELECT readmodel.wait_for(name, 16) FROM unnest('{read text,read_bigint,read_uuid}'::text[]) name;

-- Ready: one row, with and without a state.
SELECT status, reason, generation, definition_hash = (SELECT s.definition_hash FROM readmodel.status() s WHERE s.name = 'read text') AS hash,
    "position", estimated_seconds_remaining, state, state_position, updated_at <= now() AS updated
    FROM readmodel.read_state('read text', $$it's$$);
SELECT status, "position", state, state_position, updated_at FROM readmodel.read_state('read text', 'none');
SELECT status, "position", state FROM readmodel.read_state('read text', NULL);
SELECT state FROM readmodel.read_state('read_bigint', '-1000000000000');
SELECT state FROM readmodel.read_state('read_uuid', '00000000-0000-0000-0000-000000000028');
SELECT state FROM readmodel.read_state('read_uuid', '{00000000000000000000000000000028}');
SELECT bool_and(readmodel.get('read text', v.id) = r.state AND v.position = r.state_position AND v.updated_at = r.updated_at) AS as_the_view
    FROM readmodel."read text" v, LATERAL readmodel.read_state('read text', v.id) r;
-- As a value, too: the row type is the function's.
SELECT (readmodel.read_state('read text', 'a')).state_position;
SELECT pg_typeof(r), to_jsonb(r) - 'definition_hash' - 'updated_at' AS row FROM readmodel.read_state('read text', 'a') r;

-- Several at once: a row for each, in their order.
SELECT n, status, state, state_position FROM readmodel.read_states_by_id('read text', $${b,none,"it's",NULL,b,"say \"hi\"","back\\slash",""}$$)
    WITH ORDINALITY AS r(status, reason, generation, definition_hash, "position", seconds, state, state_position, updated_at, n);
SELECT count(*) AS rows, count(*) FILTER (WHERE r.one IS DISTINCT FROM readmodel.read_state(q.name, q.ids[r.n])) AS differing
    FROM (VALUES ('read text', ARRAY['a', 'none', 'Z']), ('read_bigint', ARRAY['0', 'ten', '-1000000000000']), ('read_uuid', ARRAY['1', NULL]),
          ('nowhere', ARRAY['a', 'b'])) AS q(name, ids),
    LATERAL (SELECT row_number() OVER () AS n, s AS one FROM readmodel.read_states_by_id(q.name, q.ids) AS s) AS r;
SELECT count(*) FROM readmodel.read_states_by_id('read text', '{}');
SELECT * FROM readmodel.read_states_by_id('read text', NULL);
SELECT * FROM readmodel.read_states_by_id(NULL, '{a}');
SELECT status, reason FROM readmodel.read_states_by_id('read text', '{a,b}', 'nohash');

-- Pages, in the order of the key's type: bytes for text, numbers, uuids.
SELECT id, state_position FROM readmodel.read_states('read text');
SELECT id, state_position FROM readmodel.read_states('read text', max_rows => 3);
SELECT id FROM readmodel.read_states('read text', $$it's$$, 2);
SELECT id FROM readmodel.read_states('read text', E'back\\slash', 2);
SELECT id FROM readmodel.read_states('read text', 'no such id, but a place', 1);
SELECT id, status, generation, state FROM readmodel.read_states('read text', 'é', 2);
SELECT id FROM readmodel.read_states('read_bigint', max_rows => 5);
SELECT id FROM readmodel.read_states('read_bigint', '0', 3);
SELECT id FROM readmodel.read_states('read_bigint', '-9223372036854775808', 2);
SELECT id, status FROM readmodel.read_states('read_bigint', '9223372036854775807', 2);
SELECT id FROM readmodel.read_states('read_uuid', '00000000-0000-0000-0000-000000000078', 2);
-- Page by page nothing is left out and nothing comes twice, whatever the page's size.
CREATE FUNCTION read_all(query text, page integer) RETURNS text[] LANGUAGE plpgsql AS $$
DECLARE
    ids text[] := '{}';
    next text[];
    last text;
BEGIN
    LOOP
        SELECT array_agg(id) FILTER (WHERE id IS NOT NULL), max(id COLLATE "C") INTO next FROM readmodel.read_states(query, last, page);
        EXIT WHEN next IS NULL;
        ids := ids || next;
        last := next[array_length(next, 1)];
    END LOOP;
    RETURN ids;
END $$;
SELECT page, read_all('read text', page) = (SELECT array_agg(id ORDER BY id) FROM readmodel."read text") AS text,
    read_all('read_bigint', page) = (SELECT array_agg(id::text ORDER BY id) FROM readmodel.read_bigint) AS bigint,
    read_all('read_uuid', page) = (SELECT array_agg(id::text ORDER BY id) FROM readmodel.read_uuid) AS uuid
    FROM unnest('{1,2,5,15,16,17,1000}'::int[]) page;
-- However the table of states is found to be, the states are the view's: large ones, without the key, under row-level security.
INSERT INTO read_events (stream_id, type, data)
SELECT 'large', 'A', jsonb_build_object('number', 1, 'text', string_agg(md5(i::text), '')) FROM generate_series(1, 5000) i;
SELECT readmodel.wait_for('read text', 17);
CREATE FUNCTION read_as_the_view() RETURNS boolean LANGUAGE sql AS $$
    SELECT coalesce(bool_and(v.state = r.state AND v.position = r.state_position), true) AND count(*) = count(r.state)
           AND count(*) = (SELECT count(id) FROM readmodel.read_states('read text'))
    FROM readmodel."read text" v FULL JOIN (SELECT stream_id, (s).* FROM (SELECT stream_id, readmodel.read_state('read text', stream_id) s
                                                                          FROM read_events OFFSET 0) a) r ON v.id = r.stream_id AND r.state IS NOT NULL
    WHERE v.id IS NOT NULL OR r.state IS NOT NULL $$;
SELECT length(state::text), read_as_the_view() FROM readmodel.read_state('read text', 'large');
BEGIN;
DO $$ BEGIN EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', readmodel.state_table('read text'),
    (SELECT conname FROM pg_constraint WHERE conrelid = readmodel.state_table('read text') AND contype = 'p')); END $$;
SELECT read_as_the_view();
ROLLBACK;
-- Belonging to an ordinary role, since nothing keeps a superuser from a row.
CREATE ROLE readmodel_test_read_owner;
BEGIN;
DO $$ BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', readmodel.state_table('read text'));
    EXECUTE format('ALTER TABLE %s OWNER TO readmodel_test_read_owner', readmodel.state_table('read text'));
    ALTER VIEW readmodel."read text" OWNER TO readmodel_test_read_owner;
END $$;
SELECT count(*), read_as_the_view() FROM readmodel."read text";
DO $$ BEGIN
    EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', readmodel.state_table('read text'));
    EXECUTE format('CREATE POLICY read_some ON %s USING (id < ''a'')', readmodel.state_table('read text'));
END $$;
SELECT count(*), read_as_the_view() FROM readmodel."read text";
-- The policy is the owner's code: the reader's search_path does not reach it.
DO $$ BEGIN
    EXECUTE format('DROP POLICY read_some ON %s', readmodel.state_table('read text'));
    EXECUTE format('CREATE POLICY read_pinned ON %s USING (current_setting(''search_path'') = ''pg_catalog, pg_temp'')', readmodel.state_table('read text'));
END $$;
SELECT state, (SELECT count(*) FROM readmodel.read_states('read text')) FROM readmodel.read_state('read text', 'a');
ROLLBACK;
DROP ROLE readmodel_test_read_owner;

-- Arguments.
SELECT * FROM readmodel.read_state('nowhere', 'a');
SELECT * FROM readmodel.read_states('nowhere');
SELECT * FROM readmodel.read_state(NULL, 'a');
SELECT * FROM readmodel.read_states(NULL);
SELECT * FROM readmodel.read_state('read text', 'a', 'nohash');
SELECT * FROM readmodel.read_states('read text', definition_hash => 'nohash');
-- Ids as their type reads them; what is none is said to be none, and the transaction goes on.
BEGIN READ ONLY;
SELECT id, status, reason, state->'number' AS number FROM unnest(ARRAY['-1000000000000', ' -1000000000000 ', '+0', '00', '-0', '', '-', 'abc', '1e3', '0x0', '1 2',
    '9223372036854775807', '9223372036854775808', '-9223372036854775808', '-9223372036854775809', '999999999999999999']) AS id,
    LATERAL readmodel.read_state('read_bigint', id);
SELECT id, status, reason, state->'number' AS number FROM unnest(ARRAY['00000000-0000-0000-0000-000000000028', '{00000000-0000-0000-0000-000000000028}',
    '00000000000000000000000000000028', '0000-0000-0000-0000-0000-0000-0000-0028', '00000000-0000-0000-0000-0000000000A0',
    '00000000-0000-0000-0000-00000000002g', '00000000-0000-0000-0000_000000000028', '1', '']) AS id,
    LATERAL readmodel.read_state('read_uuid', id);
SELECT status, reason, id, state FROM readmodel.read_states('read_bigint', 'abc');
SELECT status, reason, id, state FROM readmodel.read_states('read_uuid', '1');
SELECT id FROM readmodel.read_states('read_bigint', ' 0', 1);
COMMIT;
SELECT * FROM readmodel.read_states('read text', max_rows => 0);
SELECT * FROM readmodel.read_states('read text', max_rows => -1);
SELECT * FROM readmodel.read_states('read text', max_rows => NULL);

-- Rights: SELECT on the view for states; the report hides what one may not see, as if it were not there.
CREATE ROLE readmodel_test_read;
SET ROLE readmodel_test_read;
SELECT * FROM readmodel.read_state('read text', 'a');
SELECT * FROM readmodel.read_states('read text');
SELECT * FROM readmodel.read_states_by_id('read text', '{a}');
SELECT name, status, served FROM readmodel.readiness_report('{read text,nowhere}');
SELECT name, status, served FROM readmodel.readiness_report();
SELECT name, status, served FROM readmodel.readiness_report(only_unserved => true);
SELECT count(*) FROM readmodel.query_counters() WHERE name LIKE 'read%';
RESET ROLE;
SELECT readmodel.grant_reader('readmodel_test_read');
SET ROLE readmodel_test_read;
SELECT * FROM readmodel.read_state('read text', 'a');
SELECT name, status, served FROM readmodel.readiness_report('{read text,nowhere}');
SELECT count(*) FROM readmodel.readiness_report() WHERE status = 'hidden' OR name IS NULL;
SELECT count(*) FROM readmodel.query_counters() WHERE name LIKE 'read%';
RESET ROLE;
SELECT readmodel.revoke_reader('readmodel_test_read');
GRANT SELECT ON readmodel."read text" TO readmodel_test_read;
SET ROLE readmodel_test_read;
SELECT status, state_position FROM readmodel.read_state('read text', 'a');
SELECT id FROM readmodel.read_states('read text', 'a', 1);
RESET ROLE;

-- A new definition: unavailable, or stale from the previous one. One transaction, so that no worker can know of it.
BEGIN;
SELECT readmodel.define_query('read text', 'read_source', 'read_last(jsonb, jsonb)', 'stream', options => '{"version": "2"}');
SELECT status, generation, state FROM readmodel.read_state('read text', 'a');
SELECT status, generation, id, state FROM readmodel.read_states('read text', 'a');
SELECT status, generation, lag, served FROM readmodel.readiness_report('{read text}');
SELECT readmodel.define_query('read text', 'read_source', 'read_last(jsonb, jsonb)', 'stream',
    options => '{"version": "2", "while_rebuilding": "serve_previous"}');
SELECT status, reason, generation, "position", state_position FROM readmodel.read_state('read text', 'a');
SELECT status, generation, id, state_position FROM readmodel.read_states('read text', 'a', 1);
-- The report is about what was defined last, and says what answers.
SELECT status, generation, lag, served FROM readmodel.readiness_report('{read text}');
-- One definition asked for: the old one is ready, and the new one is not replaced by it.
SELECT r.generation, r.status, r.state IS NOT NULL AS state, p.status AS reported, p.served
    FROM readmodel.generations('read text') g, LATERAL readmodel.read_state('read text', 'a', g.definition_hash) r,
         LATERAL readmodel.readiness_report('{read text}', g.definition_hash) p;
ROLLBACK;

-- Gated, unavailable or stale.
SELECT readmodel.define_query('read text', 'read_source', 'read_last(jsonb, jsonb)', 'stream', options => '{"version": "2", "on_change": "gate"}');
SELECT status, reason LIKE 'operator: generation 2 waits %' AS reason, generation, state FROM readmodel.read_state('read text', 'a');
SELECT status, generation, served FROM readmodel.readiness_report('{read text}');
SELECT name, generation, events_applied, events_replayed, rebuild_seconds FROM readmodel.query_counters() WHERE name = 'read text';
SELECT readmodel.define_query('read text', 'read_source', 'read_last(jsonb, jsonb)', 'stream',
    options => '{"version": "2", "on_change": "gate", "while_rebuilding": "serve_previous"}');
SELECT status, reason, generation, state_position FROM readmodel.read_state('read text', 'a');
SELECT status, generation, served FROM readmodel.readiness_report('{read text}');
SELECT readmodel.reject('read text');
SELECT status, generation, served FROM readmodel.readiness_report('{read text}');
-- Of a rejected definition only the hash is remembered.
SELECT p.status FROM readmodel.definition_hash('read_source', 'read_last(jsonb, jsonb)', 'stream', options => '{"version": "2"}') h,
    LATERAL readmodel.readiness_report('{read text}', h) p;

-- The updater is replaced: what it made is whole, and answers as it stands until what the new one makes is there.
CREATE FUNCTION read_replaced(state jsonb, event jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE RETURN '{"by": 1}'::jsonb;
SELECT readmodel.define_query('read_replaced', 'read_source', 'read_replaced(jsonb, jsonb)', 'stream',
    options => '{"on_change": "gate", "while_rebuilding": "serve_previous"}');
SELECT read_until('read_replaced', 'ready');
CREATE OR REPLACE FUNCTION read_replaced(state jsonb, event jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE RETURN '{"by": 2}'::jsonb;
DO $$
BEGIN
    FOR look IN 1 .. 1200 LOOP
        EXIT WHEN (SELECT s.generation = 2 AND s.status = 'gated' FROM readmodel.status() s WHERE s.name = 'read_replaced');
        PERFORM pg_sleep(0.025);
    END LOOP;
END $$;
SELECT status, generation, state FROM readmodel.read_state('read_replaced', 'a');
SELECT readmodel.get('read_replaced', 'a'), readmodel.ready('{read_replaced}');
SELECT name, status, generation, served, served_generation FROM readmodel.readiness_report('{read_replaced}');
-- As itself it is not followed any more.
SELECT r.generation, r.status, r.reason, r.state FROM readmodel.generations('read_replaced') g,
    LATERAL readmodel.read_state('read_replaced', 'a', g.definition_hash) r WHERE g.generation = 1;
SELECT readmodel.approve('read_replaced');
SELECT read_until('read_replaced', 'ready');
SELECT status, generation, state FROM readmodel.read_state('read_replaced', 'a');
SELECT readmodel.drop_query('read_replaced');

-- Paused: unavailable, or as it stands.
SELECT readmodel.pause('read_bigint'), readmodel.pause('read text');
SELECT status, reason, state FROM readmodel.read_state('read_bigint', '0');
SELECT status, served FROM readmodel.readiness_report('{read_bigint}');
SELECT status, reason, generation, state_position FROM readmodel.read_state('read text', 'a');
SELECT status, generation, state_position FROM readmodel.read_state('read text', 'a', (SELECT definition_hash FROM readmodel.status() WHERE name = 'read text'));
SELECT count(*) FROM readmodel.read_states('read text') WHERE status = 'stale';
SELECT status, served FROM readmodel.readiness_report('{read text}');
SELECT readmodel.get('read text', 'a') IS NOT NULL AS get, readmodel.ready('{read text}');
SELECT readmodel.wait_for('read text', 1000);
SELECT readmodel.resume('read_bigint'), readmodel.resume('read text');
SELECT read_until('read_bigint', 'ready'), read_until('read text', 'ready');

-- Failed: with code, SQLSTATE and position, without the message. Nothing older answers, serve_previous or not.
SELECT readmodel.define_query('read_failed', 'read_source', 'read_last(jsonb, jsonb)', 'stream', options => '{"while_rebuilding": "serve_previous"}');
SELECT last_position FROM readmodel.append('read_events', 'x', '[{"type": "Broken", "data": {"secret": "apple"}}]');
SELECT read_until('read_failed', 'failed');
SELECT status, reason, generation, "position", state FROM readmodel.read_state('read_failed', 'a');
SELECT status, reason, id FROM readmodel.read_states('read_failed');
SELECT name, status, reason, "position", lag, served FROM readmodel.readiness_report('{read_failed}');
SELECT name, generation, dead_letters, failures, batches > 0 AS batches, events_applied, events_replayed >= 0 AS replayed, rebuild_seconds >= 0 AS seconds
    FROM readmodel.query_counters() WHERE name = 'read_failed';
-- It fails again, and that is counted.
SELECT readmodel.retry('read_failed');
DO $$ BEGIN
    FOR look IN 1 .. 1200 LOOP
        EXIT WHEN (SELECT failures FROM readmodel.query_counters() WHERE name = 'read_failed') = 2;
        PERFORM pg_sleep(0.025);
    END LOOP;
END $$;
SELECT failures FROM readmodel.query_counters() WHERE name = 'read_failed';
-- Passed over instead: dead letters, those that are not given up.
SELECT readmodel.define_query('read_failed', 'read_source', 'read_last(jsonb, jsonb)', 'stream', options => '{"on_error": "skip"}');
SELECT readmodel.retry('read_failed');
SELECT readmodel.wait_for('read_failed', 18);
SELECT dead_letters, failures FROM readmodel.query_counters() WHERE name = 'read_failed';
SELECT readmodel.discard_dead_letter('read_failed', 18);
SELECT dead_letters, failures FROM readmodel.query_counters() WHERE name = 'read_failed';
SELECT readmodel.drop_query(name) FROM unnest('{read text,read_bigint,read_uuid}'::text[]) name;

-- Stalled: nobody moves it.
ALTER SYSTEM SET readmodel.enabled = off;
SELECT pg_reload_conf();
SELECT read_until('read_failed', 'stalled');
SELECT status, reason LIKE 'no_worker%' AS reason, state FROM readmodel.read_state('read_failed', 'a');
SELECT status, served FROM readmodel.readiness_report('{read_failed}');
ALTER SYSTEM RESET readmodel.enabled;
SELECT pg_reload_conf();
SELECT read_until('read_failed', 'ready');

-- The report: names in their order, once for each time that they are asked for; all of them by name.
SELECT name, status, served FROM readmodel.readiness_report('{read_failed,nowhere,NULL,read_failed}');
SELECT name, status, reason, served FROM readmodel.readiness_report('{nowhere,read_failed}', 'nohash');
SELECT count(*) FROM readmodel.readiness_report('{}');
SELECT name, status, generation, length(definition_hash) AS hash, "position", lag, estimated_seconds_remaining, served
    FROM readmodel.readiness_report() WHERE name LIKE 'read%';
SELECT name, status, served FROM readmodel.readiness_report(definition_hash => 'nohash') WHERE name LIKE 'read%';
SELECT count(*) AS differences FROM readmodel.status() s FULL JOIN readmodel.readiness_report() r USING (name)
    WHERE (s.status, s.generation, s.definition_hash, s.position, s.lag) IS DISTINCT FROM (r.status, r.generation, r.definition_hash, r.position, r.lag);

SELECT readmodel.drop_query('read_failed');
SELECT readmodel.drop_source('read_source');
DROP TABLE read_events;
DROP FUNCTION read_last, read_until, read_all, read_as_the_view;
DROP ROLE readmodel_test_read;
