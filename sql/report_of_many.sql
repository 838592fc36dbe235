-- Reports about many queries read the catalog's tables as a whole, and about few they look rows up: both say the same.
SET client_min_messages = warning;
SELECT readmodel.create_event_table('many_events');
SELECT readmodel.create_source('many_source', 'many_events');
CREATE FUNCTION many_last(state jsonb, event jsonb) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF event->>'type' = 'Broken' THEN
        RAISE division_by_zero;
    END IF;
    RETURN event->'data';
END $$;
CREATE ROLE readmodel_test_many NOLOGIN;
SELECT count(readmodel.define_query('many_' || i, 'many_source', 'many_last(jsonb, jsonb)', 'stream',
        options => CASE WHEN i = 3 THEN '{"while_rebuilding": "serve_previous"}' ELSE '{}' END::jsonb))
    FROM generate_series(1, 6) AS i;
INSERT INTO many_events (stream_id, type, data) VALUES ('a', 'A', '{"n": 1}'), ('b', 'B', '{"n": 2}');
SELECT bool_and(readmodel.wait_for('many_' || i, 2) IS NOT NULL) AS applied FROM generate_series(1, 6) AS i;

-- Rows that are in one and not in the other; reports of one query are the ones that look up.
CREATE FUNCTION many_differences(names text[]) RETURNS TABLE (what text, name text, status text, served text) LANGUAGE sql AS $$
    WITH report AS (SELECT * FROM readmodel.readiness_report(names)),
        singly AS (SELECT r.* FROM unnest(names) AS one, LATERAL readmodel.readiness_report(ARRAY[one]) AS r),
        everything AS (SELECT * FROM readmodel.readiness_report() WHERE name LIKE 'many%'),
        unserved AS (SELECT * FROM readmodel.readiness_report(names, NULL, true))
    SELECT 'only together', name, status, served FROM (TABLE report EXCEPT ALL TABLE singly) AS d
    UNION ALL SELECT 'only singly', name, status, served FROM (TABLE singly EXCEPT ALL TABLE report) AS d
    UNION ALL SELECT 'not among all', name, status, served FROM (SELECT * FROM report WHERE status <> 'unknown' EXCEPT TABLE everything) AS d
    UNION ALL SELECT 'not asked for', name, status, served FROM (TABLE everything EXCEPT TABLE report) AS d
    UNION ALL SELECT 'served', name, status, served FROM (TABLE unserved EXCEPT ALL SELECT * FROM report WHERE served IS NULL) AS d
    UNION ALL SELECT 'unserved', name, status, served FROM (SELECT * FROM report WHERE served IS NULL EXCEPT ALL TABLE unserved) AS d
$$;
CREATE FUNCTION many_names() RETURNS text[] LANGUAGE sql AS
    $$SELECT '{many_2,many_1,nowhere,NULL,many_3,many_4,many_2,many_5,many_6}'::text[]$$;
SELECT name, status, served FROM readmodel.readiness_report(many_names());
SELECT * FROM many_differences(many_names());
SELECT count(*) FROM readmodel.readiness_report(many_names(), NULL, true) WHERE status <> 'unknown';
SELECT readmodel.ready('{many_1,many_2,many_3,many_4,many_5,many_6}'), readmodel.ready(many_names());

-- What the transaction has changed, and what it has taken back; paused, dropped, new, and of another owner.
BEGIN;
SELECT readmodel.pause('many_1'), readmodel.pause('many_3');
SAVEPOINT dropped;
SELECT readmodel.drop_query('many_2');
SELECT name, status, served FROM readmodel.readiness_report(many_names(), NULL, true);
SELECT * FROM many_differences(many_names());
SELECT name FROM readmodel.query_counters() WHERE name LIKE 'many%' ORDER BY name;
ROLLBACK TO SAVEPOINT dropped;
SELECT name, status, served FROM readmodel.readiness_report(many_names(), NULL, true);
SELECT * FROM many_differences(many_names());
SELECT readmodel.ready('{many_2,many_3,many_4,many_5}') AS stale_counts, readmodel.ready('{many_1,many_2,many_3,many_4}') AS paused_does_not;
SELECT readmodel.define_query('many_4', 'many_source', 'many_last(jsonb, jsonb)', 'stream', event_types => '{A}');
SELECT name, status, generation, served FROM readmodel.readiness_report(many_names(), NULL, true);
SELECT * FROM many_differences(many_names());
SELECT count(*) AS generations, sum(s.serving_generation) AS serving, sum(c.generation) AS newest
    FROM readmodel.status() AS s JOIN readmodel.query_counters() AS c USING (name) WHERE name LIKE 'many%';
ROLLBACK;
-- A role sees its own only.
BEGIN;
GRANT USAGE ON SCHEMA readmodel TO readmodel_test_many;
ALTER VIEW readmodel.many_5 OWNER TO readmodel_test_many;
SET LOCAL ROLE readmodel_test_many;
SELECT name, status = 'ready' AS ready FROM readmodel.readiness_report(many_names());
SELECT name FROM readmodel.readiness_report() WHERE name LIKE 'many%';
SELECT readmodel.ready('{many_5,many_5,many_5,many_5}') AS own, readmodel.ready('{many_5,many_5,many_5,many_6}') AS hidden;
ROLLBACK;
-- All fail.
INSERT INTO many_events (stream_id, type, data) VALUES ('a', 'Broken', '{}');
DO $$ BEGIN
    FOR look IN 1 .. 1200 LOOP
        COMMIT;
        EXIT WHEN (SELECT count(*) FROM readmodel.status() AS s WHERE s.name LIKE 'many%' AND s.status = 'failed') = 6;
        PERFORM pg_sleep(0.025);
    END LOOP;
END $$;
SELECT name, status, reason, generation, "position", lag, served FROM readmodel.readiness_report(many_names(), NULL, true);
SELECT * FROM many_differences(many_names());
SELECT count(readmodel.drop_query('many_' || i)) FROM generate_series(1, 6) AS i;
SELECT * FROM many_differences(many_names());
SELECT readmodel.drop_source('many_source');
DROP TABLE many_events;
DROP FUNCTION many_last, many_differences, many_names;
DROP ROLE readmodel_test_many;
