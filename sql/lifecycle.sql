-- Which generation is in force: define_query of known definitions, activate, approve, reject, cancel_rebuild, rebuild. No worker runs here:
-- catch_up moves what is to be moved.
ALTER SYSTEM SET readmodel.enabled = off;
SELECT pg_reload_conf();
DO $$
BEGIN
    FOR i IN 1 .. 2000 LOOP
        EXIT WHEN NOT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type ~ '^pg_readmodel (tail|rebuild)');
        PERFORM pg_sleep(0.01), pg_stat_clear_snapshot();
    END LOOP;
    ASSERT NOT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type ~ '^pg_readmodel (tail|rebuild)'), 'workers run';
END $$;
SELECT readmodel.create_event_table('life_events') IS NOT NULL AS created;
SELECT readmodel.create_source('life', 'life_events');
SELECT last_version FROM readmodel.append('life_events', 'a', '[{"type": "x", "data": 1}, {"type": "x", "data": 2}]', 0);
CREATE FUNCTION life_one(state jsonb, event jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT '"one"'::jsonb $$;
CREATE FUNCTION life_two(state jsonb, event jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT '"two"'::jsonb $$;
CREATE FUNCTION define(updater regprocedure, options jsonb DEFAULT '{"on_change": "gate"}', key text DEFAULT 'stream') RETURNS int
    LANGUAGE sql AS $$ SELECT readmodel.define_query('life', 'life', updater, key, options => options) $$;
CREATE VIEW life_now AS
    SELECT generation, serving_generation AS serving, status,
           regexp_replace(reason, 'since .*,', 'since TIME,') ~ '^operator: generation \d+ waits for readmodel\.approve\(\) since TIME, definition [0-9a-f]{12}\.\.$' AS waits,
           position, lag
    FROM readmodel.status() WHERE name = 'life';
CREATE FUNCTION life_catalog() RETURNS TABLE (generation int, phase text, has_table boolean, checkpoints bigint) LANGUAGE sql AS $$
    SELECT g.generation, phase, state_table IS NOT NULL, (SELECT count(*) FROM readmodel_catalog.checkpoint c WHERE c.generation_id = g.generation_id)
    FROM readmodel_catalog.generation g JOIN readmodel_catalog.query q USING (query_id) WHERE name = 'life' ORDER BY 1 $$;

-- Nothing to gate as long as nothing has been live: another definition is built at once.
SELECT define('life_two(jsonb, jsonb)');
SELECT define('life_one(jsonb, jsonb)');
SELECT readmodel.drop_query('life');
SELECT define('life_one(jsonb, jsonb)');
CALL readmodel.catch_up('life');
SELECT id, state FROM readmodel.life;

-- The gate: what waits there, what may be done, and that the rest goes on.
SELECT define('life_two(jsonb, jsonb)');
SELECT * FROM life_now;
SELECT readmodel.readiness('life');
\set VERBOSITY sqlstate
SELECT readmodel.get('life', 'a');
\set VERBOSITY default
SELECT readmodel.readiness('life', (SELECT definition_hash FROM readmodel.generations('life') WHERE generation = 1)) <> 'gated' AS first_is_its_own;
SELECT generation, status = 'gated' AS gated, serving, position FROM readmodel.generations('life') ORDER BY 1;
SELECT define('life_two(jsonb, jsonb)');
SELECT define('life_one(jsonb, jsonb)');
CALL readmodel.catch_up('life');
SELECT generation, position FROM readmodel.generations('life') ORDER BY 1;
SELECT readmodel.rebuild('life');
SELECT readmodel.reject('life');
SELECT readmodel.reject('life');
SELECT readmodel.approve('life');
SELECT * FROM life_catalog();
SELECT generation FROM readmodel.generations('life');

-- What was rejected is remembered, and its options are not taken over.
\set VERBOSITY terse
SELECT define('life_two(jsonb, jsonb)', '{}');
\set VERBOSITY default
SELECT options FROM readmodel_catalog.query WHERE name = 'life';
SELECT readmodel.readiness('life', readmodel.definition_hash('life', 'life_two(jsonb, jsonb)', 'stream'));
SELECT readmodel.state_table('life', 2);

-- activate builds it after all; cancelled, it is remembered again.
SELECT readmodel.activate('life', 2);
SELECT readmodel.activate('life', 3);
SELECT generation, serving FROM life_now;
-- nothing of what it has gone through is kept
INSERT INTO readmodel_catalog.attempt (generation_id, attempts)
    SELECT generation_id, 1 FROM readmodel_catalog.generation JOIN readmodel_catalog.query USING (query_id) WHERE name = 'life' AND generation = 3;
SELECT readmodel.cancel_rebuild('life');
SELECT readmodel.cancel_rebuild('life');
SELECT count(*) AS attempts FROM readmodel_catalog.attempt;
SELECT generation, serving FROM life_now;
\set VERBOSITY terse
SELECT define('life_two(jsonb, jsonb)');
\set VERBOSITY default

-- Approved, it is built and takes over.
SELECT define('life_two(jsonb, jsonb)', '{"version": "2", "on_change": "gate"}');
SELECT readmodel.approve('life');
SELECT readmodel.approve('life');
SELECT generation, serving FROM life_now;
CALL readmodel.catch_up('life');
SELECT generation, serving FROM life_now;
SELECT id, state FROM readmodel.life;
SELECT readmodel.cancel_rebuild('life');

-- Back and forth between live ones: the view shows them at once.
SELECT readmodel.activate('life', 1);
SELECT id, state FROM readmodel.life;
SELECT readmodel.activate('life', 1);
SELECT readmodel.activate('life', 4);
SELECT id, state FROM readmodel.life;
SELECT generation, serving FROM life_now;
SELECT * FROM life_catalog();

-- Rebuilt twice is once, from the start.
SELECT readmodel.rebuild('life');
SELECT readmodel.rebuild('life');
SELECT * FROM life_catalog();
-- one that is being built can be left for another, and taken up again
SELECT readmodel.activate('life', 1);
SELECT generation, serving FROM life_now;
SELECT readmodel.activate('life', 6);
CALL readmodel.catch_up('life');
SELECT generation, serving FROM life_now;

-- A definition that is not there any more.
CREATE OR REPLACE FUNCTION life_one(state jsonb, event jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT '"another one"'::jsonb $$;
SELECT readmodel.activate('life', 1);
ALTER FUNCTION life_two RENAME TO life_three;
SELECT readmodel.activate('life', 2);
ALTER FUNCTION life_three RENAME TO life_two;
CREATE OR REPLACE FUNCTION life_one(state jsonb, event jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT '"one"'::jsonb $$;
-- frozen, and put back: it goes on at its checkpoint
INSERT INTO readmodel_catalog.failure (generation_id, reason)
    SELECT generation_id, 'definition_changed' FROM readmodel_catalog.generation JOIN readmodel_catalog.query USING (query_id) WHERE name = 'life' AND generation = 1;
SELECT readmodel.activate('life', 1);
SELECT count(*) AS failures FROM readmodel_catalog.failure;

-- A view of another key type, with something that depends on it.
SELECT define('life_two(jsonb, jsonb)', '{"keep_generations": 0}', 'position');
CALL readmodel.catch_up('life');
SELECT pg_typeof(id), count(*) FROM readmodel.life GROUP BY 1;
CREATE VIEW life_dependent AS SELECT * FROM readmodel.life;
SELECT readmodel.activate('life', 1);
DROP VIEW life_dependent;
SELECT readmodel.activate('life', 1);
SELECT pg_typeof(id), state FROM readmodel.life;

-- Whose states were dropped by hand is built anew.
DO $$ BEGIN EXECUTE 'DROP TABLE ' || readmodel.state_table('life') || ' CASCADE'; END $$;
CALL readmodel.catch_up('life');
SELECT define('life_one(jsonb, jsonb)');
SELECT count(readmodel.rebuild('life'));
CALL readmodel.catch_up('life');
SELECT count(define('life_one(jsonb, jsonb)'));
SELECT id, state FROM readmodel.life;

-- The first generation has nothing to go back to.
SELECT readmodel.drop_query('life');
SELECT define('life_one(jsonb, jsonb)');
SELECT readmodel.cancel_rebuild('life');
SELECT readmodel.cancel_rebuild('life');
SELECT status, reason, error_message FROM readmodel.status() WHERE name = 'life';
SELECT readmodel.get('life', 'a'::text);
SELECT readmodel.pause('life');
SELECT readmodel.retry('life');
SELECT readmodel.resume('life');
SELECT readmodel.retry('life');
CALL readmodel.catch_up('life');
SELECT id, state FROM readmodel.life;

-- Errors.
SELECT readmodel.activate('life', 99);
SELECT readmodel.activate('life', NULL);
SELECT readmodel.activate(NULL, 1);
SELECT readmodel.activate('nosuch', 1);
SELECT readmodel.approve('nosuch');
SELECT readmodel.reject('nosuch');
SELECT readmodel.cancel_rebuild('nosuch');
CREATE ROLE readmodel_test_life;
SET ROLE readmodel_test_life;
SELECT readmodel.activate('life', 1);
SELECT readmodel.approve('life');
RESET ROLE;
SELECT readmodel.grant_definer('readmodel_test_life');
SET ROLE readmodel_test_life;
SELECT readmodel.activate('life', 1);
SELECT readmodel.approve('life');
SELECT readmodel.reject('life');
SELECT readmodel.cancel_rebuild('life');
RESET ROLE;
DROP OWNED BY readmodel_test_life;
DROP ROLE readmodel_test_life;

-- One that a newer definition has left at the gate: it can be taken up by name, or given up, and the newer one stays in force.
SELECT readmodel.drop_query('life');
SELECT define('life_one(jsonb, jsonb)');
CALL readmodel.catch_up('life');
SELECT define('life_two(jsonb, jsonb)', '{"on_change": "gate", "version": "left"}');
SELECT define('life_two(jsonb, jsonb)', '{"on_change": "gate", "version": "newer"}');
SELECT readmodel.approve('life');
SELECT readmodel.approve('life');
SELECT readmodel.reject('life');
SELECT generation, phase FROM life_catalog();
SELECT generation FROM life_now;

-- A definition whose states are gone is built once, however often it is asked for by its old number.
SELECT readmodel.cancel_rebuild('life');
SELECT readmodel.activate('life', 3);
SELECT readmodel.activate('life', 3);
SELECT generation, phase FROM life_catalog();
SELECT readmodel.drop_query('life');

-- Who may not write is told so, whatever would be locked or written first.
BEGIN READ ONLY;
SELECT define('life_one(jsonb, jsonb)');
ROLLBACK;
BEGIN READ ONLY;
SELECT readmodel.rebuild('life');
ROLLBACK;
SELECT readmodel.drop_source('life');
DROP VIEW life_now;
DROP FUNCTION define, life_catalog, life_one, life_two;
DROP TABLE life_events;
ALTER SYSTEM RESET readmodel.enabled;
SELECT pg_reload_conf();
