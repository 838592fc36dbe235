-- verify, state_at, history, rebuild_instance, retry_dead_letters: states folded afresh from the log.
SELECT readmodel.create_event_table('verify_events') IS NOT NULL AS created;
SELECT readmodel.create_source('verify', 'verify_events');
CREATE FUNCTION verify_count(state jsonb, event jsonb) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF event ->> 'type' = 'Closed' THEN
        RETURN NULL;
    ELSIF event #>> '{data,n}' = 'boom' THEN
        RAISE EXCEPTION 'boom';
    ELSIF event ->> 'type' = 'First' AND state IS NOT NULL THEN
        RAISE EXCEPTION 'not the first';
    END IF;
    RETURN jsonb_build_object('n', coalesce((state ->> 'n')::int, 0) + (event #>> '{data,n}')::int);
END $$;
CREATE FUNCTION verify_keys(data jsonb) RETURNS text[] LANGUAGE sql IMMUTABLE AS $$ SELECT array_agg(k) FROM jsonb_array_elements_text(data -> 'k') k $$;
-- One by a function with fan-out, one by a spec, one with aliases, one that can only be folded whole, since a state decides about aliases.
SELECT readmodel.define_query('verify fun', 'verify', 'verify_count(jsonb, jsonb)', key => 'verify_keys(data)', event_types => '{Placed,Closed,First,Mine}');
SELECT readmodel.define_query('verify spec', 'verify', spec => '{"key": {"each": "$.k[*]", "key": "$item"}, "on": {"Placed": {"add": {"n": "$.n"}}, "Closed": "delete"}}');
SELECT readmodel.define_query('verify alias', 'verify', spec => '{"key": "$.k[0]", "on": {"Placed": {"alias": "$.order", "add": {"n": "$.n"}}, "Paid": {"key": {"alias": "$.order"}, "add": {"paid": 1}}, "Closed": "delete"}}');
SELECT readmodel.define_query('verify whole', 'verify', spec => '{"key": "$.k[0]", "on": {"Placed": [{"add": {"n": "$.n"}}, {"when": {"gt": ["$state.n", 5]}, "alias": "$.order"}], "Paid": {"key": {"alias": "$.order"}, "add": {"paid": 1}}, "Closed": "delete"}}');
CREATE FUNCTION verify_append(type text, data jsonb) RETURNS void LANGUAGE sql AS
    $$ INSERT INTO verify_events (stream_id, type, data) VALUES ('s', type, data) $$;
CREATE PROCEDURE verify_wait() LANGUAGE plpgsql AS $$
BEGIN
    PERFORM readmodel.wait_for(name, (SELECT max(position) FROM verify_events)) FROM readmodel.status() WHERE name LIKE 'verify %';
END $$;
SELECT verify_append('Placed', '{"k": ["a"], "n": 1, "order": "o1"}'),      -- 1
       verify_append('Placed', '{"k": ["b", "a"], "n": 10, "order": "o2"}'), -- 2
       verify_append('Paid', '{"order": "o1"}'),                            -- 3
       verify_append('Paid', '{"order": "o2"}'),                            -- 4
       verify_append('Closed', '{"k": ["a"]}'),                             -- 5
       verify_append('Placed', '{"k": ["a"], "n": 100, "order": "o3"}'),    -- 6
       verify_append('Paid', '{"order": "o3"}'),                            -- 7
       verify_append('Paid', '{"order": "o1"}'),                            -- 8
       verify_append('Placed', '{"k": ["c"], "n": 7, "order": "o2"}'),      -- 9: o2 moves from b to c
       verify_append('Paid', '{"order": "o2"}');                            -- 10
CALL verify_wait();
CREATE VIEW verify_all AS
    SELECT q.name, v.* FROM (VALUES ('verify fun'), ('verify spec'), ('verify alias'), ('verify whole')) q (name), LATERAL readmodel.verify(q.name) v;
TABLE verify_all;
SELECT q.name, v.* FROM (VALUES ('verify fun'), ('verify spec'), ('verify alias'), ('verify whole')) q (name), LATERAL readmodel.verify(q.name, 2) v;
SELECT * FROM readmodel.history('verify fun', 'a');
SELECT * FROM readmodel.history('verify spec', 'b');
SELECT position, type, state FROM readmodel.history('verify alias', 'a');
SELECT position, type, state FROM readmodel.history('verify alias', 'b');
SELECT position, type, state FROM readmodel.history('verify whole', 'b');
SELECT * FROM readmodel.history('verify fun', 'nobody');
SELECT at, readmodel.state_at('verify fun', 'a', at) AS fun, readmodel.state_at('verify spec', 'a', at) AS spec,
       readmodel.state_at('verify alias', 'a', at) AS alias, readmodel.state_at('verify whole', 'b', at) AS whole
  FROM generate_series(0, 10) at;
SELECT readmodel.state_at('verify fun', 'a', 11);
SELECT readmodel.state_at('verify fun', 'a', -1);
-- The last state of a history is the stored one, of all instances.
SELECT count(*) AS instances, count(*) FILTER (WHERE v.state = (SELECT h.state FROM readmodel.history('verify alias', v.id) h ORDER BY h.position DESC LIMIT 1)) AS same
  FROM readmodel."verify alias" v;

-- What differs is found, and mended instance by instance.
CREATE TEMPORARY TABLE verify_tables AS SELECT name, readmodel.state_table(name) AS states FROM readmodel.status() WHERE name LIKE 'verify %';
DO $$ DECLARE one record; BEGIN
    FOR one IN SELECT * FROM verify_tables LOOP
        EXECUTE format('UPDATE %s SET state = ''{"n": -1}'' WHERE id = ''b''; DELETE FROM %1$s WHERE id = ''a'';
                        INSERT INTO %1$s (id, state, position) VALUES (''surplus'', ''{}'', 1)', one.states);
    END LOOP;
END $$;
SELECT * FROM verify_all ORDER BY name COLLATE "C", id;
SELECT readmodel.rebuild_instance(name, id) FROM verify_tables, unnest('{a,b,surplus}'::text[]) id ORDER BY name COLLATE "C", id;
TABLE verify_all;
SELECT name, instances FROM readmodel.status() WHERE name LIKE 'verify %' ORDER BY name COLLATE "C";
SELECT readmodel.rebuild_instance('verify fun', 'a');
SELECT readmodel.rebuild_instance('verify fun', 'nobody');

-- Events are erased: their instances are folded without them, aliases too, and go on from there.
DELETE FROM verify_events WHERE position IN (2, 9);
SELECT name, id FROM verify_all ORDER BY name COLLATE "C", id;
SELECT readmodel.rebuild_instance(name, id) FROM verify_tables, unnest('{a,b,c}'::text[]) id ORDER BY name COLLATE "C", id;
TABLE verify_all;
SELECT verify_append('Paid', '{"order": "o2"}'), verify_append('Paid', '{"order": "o3"}'), verify_append('Placed', '{"k": ["a", "b"], "n": 5, "order": "o2"}');
CALL verify_wait();
TABLE verify_all;
SELECT name, status, instances FROM readmodel.status() WHERE name LIKE 'verify %' ORDER BY name COLLATE "C";
SELECT id, state, position FROM readmodel."verify alias" ORDER BY id;

-- In a transaction that is rolled back nothing has happened, and the query goes on.
DO $$ DECLARE states regclass := readmodel.state_table('verify fun'); BEGIN EXECUTE format('UPDATE %s SET state = ''{"n": -1}'' WHERE id = ''b''', states); END $$;
BEGIN;
SELECT readmodel.rebuild_instance('verify fun', 'b');
SELECT * FROM readmodel.verify('verify fun');
ROLLBACK;
SELECT * FROM readmodel.verify('verify fun');
SELECT readmodel.rebuild_instance('verify fun', 'b');

-- Dead letters are left out until they are applied in their place.
CREATE FUNCTION verify_letters() RETURNS TABLE (name text, "position" bigint, sqlstate text, message text) LANGUAGE sql AS
    $$ SELECT q.name, d.position, d.sqlstate, d.message FROM readmodel_catalog.dead_letter d JOIN readmodel_catalog.generation g USING (generation_id) JOIN readmodel_catalog.query q USING (query_id) ORDER BY 1, 2 $$;
INSERT INTO readmodel_catalog.dead_letter (generation_id, position, sqlstate, message)
    SELECT generation_id, position, 'XX000', 'as if' FROM readmodel_catalog.generation JOIN readmodel_catalog.query q USING (query_id), unnest('{1,6}'::bigint[]) position WHERE q.name LIKE 'verify %';
SELECT name, id, folded FROM verify_all ORDER BY name COLLATE "C", id;
SELECT readmodel.rebuild_instance(name, id) FROM verify_tables, unnest('{a,b,c}'::text[]) id ORDER BY name COLLATE "C", id;
TABLE verify_all;
SELECT position, type, state FROM readmodel.history('verify alias', 'a');
SELECT readmodel.retry_dead_letters('verify fun', 6);
SELECT readmodel.retry_dead_letters('verify fun', 6);
SELECT name, readmodel.retry_dead_letters(name) FROM verify_tables ORDER BY name COLLATE "C";
SELECT * FROM verify_letters();
TABLE verify_all;
SELECT id, state, position FROM readmodel."verify alias" ORDER BY id;
SELECT id, state, position FROM readmodel."verify fun" ORDER BY id;
-- The aliases that they made lead on.
SELECT verify_append('Paid', '{"order": "o3"}'); -- 14
CALL verify_wait();
TABLE verify_all;
SELECT position, type, state FROM readmodel.history('verify alias', 'a') WHERE position > 13;

-- Letters that fail again, that a later event does not bear, whose event is gone, and those beside them that can be applied. The
-- updater refuses them, so an operator lets the checkpoint pass them by hand, as on_error = skip would.
SELECT verify_append('Mine', '{"k": ["a", "d"], "n": "boom"}'),  -- 15
       verify_append('Mine', '{"k": ["d"], "n": 1}'),            -- 16
       verify_append('First', '{"k": ["e"], "n": 1}'),           -- 17: bears no event of "e" before it
       verify_append('Mine', '{"k": ["f", "e"], "n": 3}');       -- 18
SELECT count(*) FROM generate_series(1, 1200) i, verify_append('Other', jsonb_build_object('i', i));
DO $$ BEGIN
    FOR try IN 1 .. 600 LOOP
        EXIT WHEN (SELECT status = 'failed' FROM readmodel.status() WHERE name = 'verify fun');
        PERFORM pg_sleep(0.05);
    END LOOP;
END $$;
SELECT error_position, error_message FROM readmodel.status() WHERE name = 'verify fun';
UPDATE readmodel_catalog.checkpoint SET position = 15 WHERE generation_id = (SELECT generation_id FROM readmodel_catalog.generation JOIN readmodel_catalog.query q USING (query_id) WHERE q.name = 'verify fun');
CREATE FUNCTION verify_letter(at bigint) RETURNS void LANGUAGE sql AS $$
    INSERT INTO readmodel_catalog.dead_letter (generation_id, position, sqlstate, message)
    SELECT generation_id, at, 'XX000', 'as if' FROM readmodel_catalog.generation JOIN readmodel_catalog.query q USING (query_id) WHERE q.name = 'verify fun' $$;
SELECT verify_letter(15);
SELECT readmodel.retry('verify fun');
SELECT readmodel.wait_for('verify fun', (SELECT max(position) FROM verify_events)) > 1000 AS reached;
SELECT * FROM readmodel.verify('verify fun');
SELECT readmodel.retry_dead_letters('verify fun');
SELECT * FROM verify_letters();
-- What is neither a letter nor can be folded is an error, and nothing is stored.
BEGIN;
DELETE FROM readmodel_catalog.dead_letter;
SAVEPOINT deleted;
SELECT * FROM readmodel.verify('verify fun');
ROLLBACK TO deleted;
SELECT readmodel.rebuild_instance('verify fun', 'd');
ROLLBACK;
-- Of two that could not be applied in their time one would make a later event fail; the other one is applied.
BEGIN;
INSERT INTO verify_events (position, stream_id, type, data) OVERRIDING SYSTEM VALUE VALUES (2, 's', 'Mine', '{"k": ["e"], "n": 50}'), (9, 's', 'Mine', '{"k": ["d", "g"], "n": 50}');
SELECT verify_letter(2), verify_letter(9), verify_letter(-5);
SELECT readmodel.retry_dead_letters('verify fun');
SELECT * FROM verify_letters();
SELECT * FROM readmodel.verify('verify fun');
SELECT id, state, position FROM readmodel."verify fun" ORDER BY id;
ROLLBACK;
TABLE verify_all;
-- One that was discarded is left out for good.
UPDATE readmodel_catalog.dead_letter SET discarded_at = now();
SELECT readmodel.retry_dead_letters('verify fun');
SELECT * FROM readmodel.verify('verify fun');

-- All generations that have states are corrected; the others look at the serving one.
SELECT readmodel.define_query('verify spec', 'verify', spec => '{"key": {"each": "$.k[*]", "key": "$item"}, "on": {"Placed": {"add": {"m": "$.n"}}, "Closed": "delete"}}');
DO $$ BEGIN
    FOR try IN 1 .. 600 LOOP
        EXIT WHEN (SELECT bool_and(status = 'ready') FROM readmodel.generations('verify spec'));
        PERFORM pg_sleep(0.05);
    END LOOP;
END $$;
SELECT * FROM readmodel.verify('verify spec');
DELETE FROM verify_events WHERE position = 6;
INSERT INTO readmodel_catalog.dead_letter (generation_id, position, sqlstate, message)
    SELECT generation_id, 13, 'XX000', 'as if' FROM readmodel_catalog.generation JOIN readmodel_catalog.query q USING (query_id) WHERE q.name = 'verify spec';
SELECT readmodel.rebuild_instance('verify spec', 'a');
SELECT readmodel.rebuild_instance('verify spec', 'b');
SELECT * FROM readmodel.verify('verify spec');
SELECT id, state FROM readmodel."verify spec" ORDER BY id;
SELECT readmodel.retry_dead_letters('verify spec');
SELECT id, state, position FROM readmodel."verify spec" ORDER BY id;
SELECT position, state FROM readmodel.history('verify spec', 'a');
CREATE TEMPORARY TABLE verify_older (id text, state jsonb, position bigint);
DO $$ BEGIN EXECUTE format('INSERT INTO verify_older SELECT id, state, position FROM %s', readmodel.state_table('verify spec', 1)); END $$;
SELECT * FROM verify_older ORDER BY id;

-- An id that the keys of one generation can have, but not those of another.
SELECT readmodel.define_query('verify types', 'verify', 'verify_count(jsonb, jsonb)', $$'p' || position$$, '{Placed}');
SELECT readmodel.define_query('verify types', 'verify', 'verify_count(jsonb, jsonb)', 'position', '{Placed}');
DO $$ BEGIN
    FOR try IN 1 .. 600 LOOP
        EXIT WHEN (SELECT bool_and(status = 'ready') FROM readmodel.generations('verify types'));
        PERFORM pg_sleep(0.05);
    END LOOP;
END $$;
SELECT readmodel.rebuild_instance('verify types', 'p1');
SELECT readmodel.rebuild_instance('verify types', '1');
SELECT readmodel.drop_query('verify types');
SELECT readmodel.define_query('verify types', 'verify', 'verify_count(jsonb, jsonb)', 'position', '{Placed}');
SELECT readmodel.rebuild_instance('verify types', 'p1');
SELECT readmodel.drop_query('verify types');

-- What is refused.
SELECT * FROM readmodel.verify('nothing');
SELECT * FROM readmodel.verify('verify fun', -1);
SELECT * FROM readmodel.verify('verify fun', 0);
SELECT readmodel.state_at('verify fun', 'a', NULL);
SELECT readmodel.history('verify fun', NULL);
SELECT readmodel.rebuild_instance('nothing', 'a');
SELECT readmodel.retry_dead_letters('nothing');
CREATE ROLE regress_verify;
GRANT USAGE ON SCHEMA readmodel TO regress_verify;
SELECT readmodel.grant_definer('regress_verify');
SET ROLE regress_verify;
SELECT * FROM readmodel.verify('verify fun');
SELECT readmodel.state_at('verify fun', 'a', 1);
SELECT * FROM readmodel.history('verify fun', 'a');
SELECT readmodel.rebuild_instance('verify fun', 'a');
SELECT readmodel.retry_dead_letters('verify fun');
RESET ROLE;
SELECT readmodel.revoke_definer('regress_verify');
SET ROLE regress_verify;
SELECT readmodel.rebuild_instance('verify fun', 'a');
SELECT readmodel.retry_dead_letters('verify fun');
RESET ROLE;
REVOKE USAGE ON SCHEMA readmodel FROM regress_verify;
DROP ROLE regress_verify;
-- An updater that was replaced cannot fold what another one has made.
BEGIN;
CREATE OR REPLACE FUNCTION verify_count(state jsonb, event jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$ SELECT '{}'::jsonb $$;
SAVEPOINT replaced;
SELECT * FROM readmodel.verify('verify fun');
ROLLBACK TO replaced;
SELECT readmodel.rebuild_instance('verify fun', 'a');
ROLLBACK;

SET client_min_messages = warning;
SELECT readmodel.drop_query(name) FROM verify_tables;
SELECT readmodel.drop_source('verify');
DROP TABLE verify_events CASCADE;
