-- on_error = skip: what cannot be applied is passed over, kept as a dead letter, and leaves nothing behind.
-- Without workers, so that nobody else comes to an event first.
ALTER SYSTEM SET readmodel.enabled = off;
SELECT pg_reload_conf();
DO $$ BEGIN
    FOR try IN 1 .. 600 LOOP
        EXIT WHEN NOT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type ~ '^pg_readmodel (tail|rebuild)');
        PERFORM pg_stat_clear_snapshot(), pg_sleep(0.05);
    END LOOP;
END $$;
SELECT readmodel.create_event_table('letters_events') IS NOT NULL AS created;
SELECT readmodel.create_source('letters', 'letters_events');
CREATE FUNCTION letters_append(first integer, last integer) RETURNS void LANGUAGE sql AS $$
    INSERT INTO letters_events (stream_id, type, data)
    SELECT 's' || i % 2, CASE WHEN i % 3 = 0 THEN 'Bad' ELSE 'Good' END,
           jsonb_build_object('n', i, 'ids', '[]'::jsonb)
      FROM generate_series(first, last) i $$;
-- Of the two instances of a Bad event the first would be changed before the second one raises.
CREATE FUNCTION letters_fold(state jsonb, event jsonb) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF event->>'type' = 'Bad' AND state IS NOT NULL THEN
        RAISE EXCEPTION 'bad event %', event#>>'{data,n}' USING ERRCODE = 'ZZ001', DETAIL = 'It is bad.';
    END IF;
    RETURN jsonb_build_object('sum', coalesce((state->>'sum')::int, 0) + (event#>>'{data,n}')::int);
END $$;
SELECT letters_append(1, 9);
SELECT readmodel.define_query('letters', 'letters', 'letters_fold(jsonb, jsonb)',
    key => $$ARRAY['new ' || (data->>'n'), 'all']$$, options => '{"on_error": "skip"}');
CALL readmodel.catch_up('letters');
SELECT generation, position, sqlstate, message, failed_at <= now() AS in_time FROM readmodel.dead_letters('letters');
SELECT status, position, events_applied, instances, error_position FROM readmodel.status() WHERE name = 'letters';
SELECT id, state, position FROM readmodel.letters ORDER BY id;

-- A key expression that fails; and the last event of all.
SELECT readmodel.define_query('letters key', 'letters', 'letters_fold(jsonb, jsonb)', event_types => '{Good}',
    key => $$stream || 1 / ((data->>'n')::int - 4) / ((data->>'n')::int - 8)$$, options => '{"on_error": "skip"}');
CALL readmodel.catch_up('letters key');
SELECT position, sqlstate, message FROM readmodel.dead_letters('letters key');
SELECT status, position, events_applied FROM readmodel.status() WHERE name = 'letters key';

-- A spec: neither its instance nor its alias is there.
SELECT readmodel.define_query('letters spec', 'letters', options => '{"on_error": "skip"}', spec => '{
    "key": "$event.stream",
    "on": {"Good": {"add": {"sum": "$.n"}, "alias": "$.n"},
           "Bad": [{"alias": "$.n", "add": {"bad": 1}}, {"add": {"ids": "$.ids"}}]}}');
CALL readmodel.catch_up('letters spec');
SELECT position, sqlstate, message FROM readmodel.dead_letters('letters spec');
SELECT id, state, position FROM readmodel."letters spec" ORDER BY id;
DO $$ BEGIN
    EXECUTE (SELECT format('CREATE TEMP VIEW letters_aliases AS SELECT alias FROM %s', alias_table)
             FROM readmodel_catalog.generation JOIN readmodel_catalog.query USING (query_id) WHERE name = 'letters spec');
END $$;
SELECT string_agg(alias, ' ' ORDER BY alias) AS aliases FROM letters_aliases;
DROP VIEW letters_aliases;

-- The limit: the event at which it is reached is not passed over.
SELECT readmodel.define_query('letters limit', 'letters', 'letters_fold(jsonb, jsonb)',
    key => $$ARRAY['new ' || (data->>'n'), 'all']$$, options => '{"on_error": "skip", "max_dead_letters": 2}');
\set VERBOSITY sqlstate
CALL readmodel.catch_up('letters limit');
\set VERBOSITY default
SELECT status, reason, position, error_position, error_message FROM readmodel.status() WHERE name = 'letters limit';
SELECT position FROM readmodel.dead_letters('letters limit');
-- Retried with nothing changed it comes to the same event.
SELECT readmodel.retry('letters limit');
\set VERBOSITY sqlstate
CALL readmodel.catch_up('letters limit');
\set VERBOSITY default
SELECT status, error_position FROM readmodel.status() WHERE name = 'letters limit';
-- One that was discarded is listed no more, and makes room.
SELECT readmodel.discard_dead_letter('letters limit', 3);
SELECT readmodel.discard_dead_letter('letters limit', 3);
SELECT readmodel.discard_dead_letter('letters limit', 4);
SELECT readmodel.retry('letters limit');
CALL readmodel.catch_up('letters limit');
SELECT position FROM readmodel.dead_letters('letters limit');
SELECT status, position FROM readmodel.status() WHERE name = 'letters limit';
-- A higher limit takes effect at once; with "fail" none is passed over.
SELECT letters_append(12, 12);
SELECT readmodel.define_query('letters limit', 'letters', 'letters_fold(jsonb, jsonb)',
    key => $$ARRAY['new ' || (data->>'n'), 'all']$$, options => '{"on_error": "skip", "max_dead_letters": 3}');
SELECT readmodel.retry('letters limit');
CALL readmodel.catch_up('letters limit');
SELECT position FROM readmodel.dead_letters('letters limit');
SELECT readmodel.define_query('letters limit', 'letters', 'letters_fold(jsonb, jsonb)',
    key => $$ARRAY['new ' || (data->>'n'), 'all']$$);
SELECT letters_append(15, 15);
\set VERBOSITY sqlstate
CALL readmodel.catch_up('letters limit');
\set VERBOSITY default
SELECT status, error_position FROM readmodel.status() WHERE name = 'letters limit';

-- Options of a single query that limit its updater.
CREATE FUNCTION letters_slow(state jsonb, event jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    IF event->>'type' = 'Bad' THEN
        PERFORM pg_sleep(60);
    END IF;
    RETURN event->'position';
END $$;
SELECT readmodel.define_query('letters slow', 'letters', 'letters_slow(jsonb, jsonb)', key => 'stream',
    options => '{"on_error": "skip", "updater_timeout": "50 ms"}');
CALL readmodel.catch_up('letters slow');
SELECT position, sqlstate, message FROM readmodel.dead_letters('letters slow');
-- No progress at all is no event's fault: it is never passed over.
SELECT readmodel.define_query('letters stuck', 'letters', 'letters_slow(jsonb, jsonb)', key => 'stream',
    options => '{"on_error": "skip", "rebuild_timeout": "50 ms"}');
\set VERBOSITY sqlstate
CALL readmodel.catch_up('letters stuck');
\set VERBOSITY default
SELECT status, reason, error_message FROM readmodel.status() WHERE name = 'letters stuck';
SELECT count(*) FROM readmodel.dead_letters('letters stuck');

-- Who may see what.
CREATE ROLE readmodel_test_letters;
SET ROLE readmodel_test_letters;
SELECT * FROM readmodel.dead_letters('letters');
SELECT readmodel.discard_dead_letter('letters', 3);
RESET ROLE;
SELECT readmodel.grant_reader('readmodel_test_letters');
SELECT readmodel.grant_definer('readmodel_test_letters');
SET ROLE readmodel_test_letters;
SELECT position, sqlstate, message FROM readmodel.dead_letters('letters');
SELECT readmodel.discard_dead_letter('letters', 3);
RESET ROLE;
SELECT readmodel.dead_letters('nosuch');
SELECT readmodel.dead_letters(NULL);
SELECT readmodel.discard_dead_letter('nosuch', 3);
SELECT readmodel.discard_dead_letter('letters', NULL);

SELECT readmodel.revoke_reader('readmodel_test_letters');
SELECT readmodel.revoke_definer('readmodel_test_letters');
DROP ROLE readmodel_test_letters;
SELECT count(readmodel.drop_query(name)) FROM readmodel.status() WHERE name LIKE 'letters%';
SELECT count(*) AS orphans FROM readmodel_catalog.dead_letter WHERE generation_id NOT IN (SELECT generation_id FROM readmodel_catalog.generation);
SELECT readmodel.drop_source('letters');
DROP TABLE letters_events;
DROP FUNCTION letters_append, letters_fold, letters_slow;
ALTER SYSTEM RESET readmodel.enabled;
SELECT pg_reload_conf();
