-- Who may define, change and drop queries: ordinary users, each with his own rights.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE ROLE define_alice;
CREATE ROLE define_bob;
CREATE ROLE define_nobody;
SELECT readmodel.grant_definer('define_alice'), readmodel.grant_definer('define_bob');
SELECT readmodel.create_event_table('security_events') IS NOT NULL AS created;
SELECT readmodel.create_source('security', 'security_events');
CREATE FUNCTION security_updater(state jsonb, event jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$ SELECT event $$;
CREATE FUNCTION security_private(state jsonb, event jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$ SELECT event $$;
CREATE FUNCTION security_private_key(text) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT $1 $$;
REVOKE EXECUTE ON FUNCTION security_private, security_private_key FROM PUBLIC;
CREATE SCHEMA define_alices AUTHORIZATION define_alice;

-- Without grant_definer none of it.
SET ROLE define_nobody;
SELECT readmodel.define_query('a', 'security', 'security_updater(jsonb, jsonb)', 'stream');
SELECT readmodel.drop_query('a');
SELECT readmodel.rebuild('a');
SELECT readmodel.retry('a');
SELECT readmodel.pause('a');
SELECT readmodel.resume('a');

-- SELECT on the event table, EXECUTE on the updater, and on what the key calls.
SET ROLE define_alice;
SELECT readmodel.define_query('a', 'security', 'security_updater(jsonb, jsonb)', 'stream');
SELECT readmodel.definition_hash('security', 'security_updater(jsonb, jsonb)', 'stream');
RESET ROLE;
GRANT SELECT ON security_events TO define_alice, define_bob;
SET ROLE define_alice;
SELECT readmodel.define_query('a', 'security', 'security_private(jsonb, jsonb)', 'stream');
SELECT readmodel.define_query('a', 'security', 'security_updater(jsonb, jsonb)', 'security_private_key(stream)');
SELECT readmodel.define_query('a', 'security', 'security_updater(jsonb, jsonb)', 'stream');
-- what was made is hers
SELECT relkind, pg_get_userbyid(relowner) FROM pg_class
 WHERE oid IN ('readmodel.a'::regclass, readmodel.state_table('a')) ORDER BY relkind;
SELECT count(*) FROM readmodel.a;
-- she has no rights on the schemas or on the catalog
CREATE TABLE readmodel.mine ();
SELECT count(*) FROM readmodel_catalog.query;
UPDATE readmodel_catalog.query SET serving = 2;
-- another schema only where she may create
SELECT readmodel.define_query('a', 'security', 'security_updater(jsonb, jsonb)', 'stream', options => '{"schema": "define_alices"}');
SELECT count(*) FROM define_alices.a;
RESET ROLE;
CREATE SCHEMA define_closed;
GRANT USAGE ON SCHEMA define_closed TO define_alice;
SET ROLE define_alice;
SELECT readmodel.define_query('a', 'security', 'security_updater(jsonb, jsonb)', 'stream', options => '{"schema": "define_closed"}');
SELECT readmodel.define_query('a2', 'security', 'security_updater(jsonb, jsonb)', 'stream', options => '{"schema": "define_closed"}');
SELECT readmodel.define_query('a', 'security', 'security_updater(jsonb, jsonb)', 'stream');

-- Another definer may define his own, and nothing of hers; nor does he see what is in it.
SET ROLE define_bob;
SELECT readmodel.define_query('a', 'security', 'security_updater(jsonb, jsonb)', 'stream');
SELECT readmodel.drop_query('a');
SELECT readmodel.rebuild('a');
SELECT readmodel.retry('a');
SELECT readmodel.pause('a');
SELECT readmodel.resume('a');
SELECT readmodel.generations('a');
SELECT count(*) FROM readmodel.a;
SELECT readmodel.define_query('b', 'security', 'security_updater(jsonb, jsonb)', 'stream', options => '{"schema": "define_alices"}');
SELECT readmodel.define_query('b', 'security', 'security_updater(jsonb, jsonb)', 'stream');
SELECT readmodel.drop_query('b');
-- A reader of the view needs no right on anything behind it.
SET ROLE define_alice;
GRANT SELECT ON readmodel.a TO define_bob;
SET ROLE define_bob;
SELECT count(*) FROM readmodel.a;

-- What planning a key expression runs is run as its definer.
SET ROLE define_alice;
CREATE FUNCTION define_alices.who() RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RAISE WARNING 'called as %', current_user; RETURN 'x'; END $$;
SELECT readmodel.define_query('w', 'security', 'security_updater(jsonb, jsonb)', 'define_alices.who()');

-- A member of the owning role may change it, and it stays the owner's; a new owner of view and table owns the query.
RESET ROLE;
GRANT define_alice TO define_bob;
SET ROLE define_bob;
SELECT readmodel.define_query('a', 'security', 'security_updater(jsonb, jsonb)', 'type');
SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = readmodel.state_table('a', 2);
RESET ROLE;
REVOKE define_alice FROM define_bob;
REASSIGN OWNED BY define_alice TO define_bob;
SET ROLE define_alice;
SELECT readmodel.drop_query('a');
SET ROLE define_bob;
SELECT readmodel.drop_query('a'), readmodel.drop_query('w');

RESET ROLE;
SELECT readmodel.drop_source('security');
DROP TABLE security_events;
DROP FUNCTION security_updater, security_private, security_private_key;
DROP SCHEMA define_alices, define_closed CASCADE;
SELECT readmodel.revoke_definer('define_alice'), readmodel.revoke_definer('define_bob');
DROP ROLE define_alice, define_bob, define_nobody;
