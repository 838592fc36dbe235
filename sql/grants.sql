-- Who may see the status of whose queries, and who may define anything.
SET client_min_messages = warning;
CREATE ROLE readmodel_test_owner;
CREATE ROLE readmodel_test_member IN ROLE readmodel_test_owner;
CREATE ROLE readmodel_test_monitor IN ROLE pg_monitor;
CREATE ROLE readmodel_test_reader;
CREATE ROLE readmodel_test_other;
GRANT CREATE ON SCHEMA public TO readmodel_test_owner;

-- Defining is nobody's by default.
SET ROLE readmodel_test_owner;
SELECT readmodel.create_event_table('grants_events');
SELECT readmodel.create_source('grants', 'grants_events');
RESET ROLE;
SELECT readmodel.grant_definer('readmodel_test_owner');
SET ROLE readmodel_test_owner;
SELECT readmodel.create_source('grants', 'grants_events');
CREATE FUNCTION grants_fail(state jsonb, event jsonb) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE
    AS $$ BEGIN RAISE EXCEPTION 'secret'; END $$;
SELECT readmodel.define_query('grants_query', 'grants', 'grants_fail(jsonb, jsonb)', 'stream');
SELECT count(*) FROM readmodel.append('grants_events', 's1', '[{"type": "A"}]');
-- The table of states is there to be indexed.
SELECT readmodel.state_table('grants_query') AS grants_states \gset
CREATE INDEX ON :grants_states ((state ->> 'a'));
\set VERBOSITY sqlstate
SELECT readmodel.wait_for('grants_query', 1);
\set VERBOSITY default

-- The message of an error can quote data: it is for the owner and for monitors.
SELECT current_user, name, status, error_sqlstate, error_message, error_position FROM readmodel.status() WHERE name = 'grants_query';
SET ROLE readmodel_test_member;
SELECT current_user, name, status, error_sqlstate, error_message, error_position FROM readmodel.status() WHERE name = 'grants_query';
SET ROLE readmodel_test_monitor;
SELECT current_user, name, status, error_sqlstate, error_message, error_position FROM readmodel.status() WHERE name = 'grants_query';
SET ROLE readmodel_test_reader;
SELECT current_user, name, status, error_sqlstate, error_message, error_position FROM readmodel.status() WHERE name = 'grants_query';
SELECT readmodel.readiness('grants_query');
SELECT readmodel.wait_for('grants_query', 1);
SELECT readmodel.ready() AS of_mine, readmodel.ready('{grants_query}') AS not_mine;
RESET ROLE;
SELECT readmodel.grant_reader('readmodel_test_reader');
SET ROLE readmodel_test_reader;
SELECT current_user, name, status, reason, error_sqlstate, error_message, error_position FROM readmodel.status() WHERE name = 'grants_query';
SELECT readmodel.readiness('grants_query'), readmodel.ready();

-- A reader sees the status, not the states.
SELECT readmodel.get('grants_query', 's1');
SELECT * FROM readmodel.grants_query;
SET ROLE readmodel_test_other;
SELECT count(*) FROM readmodel.status() WHERE name = 'grants_query';
RESET ROLE;
SELECT readmodel.revoke_reader('readmodel_test_reader');
SET ROLE readmodel_test_reader;
SELECT count(*) FROM readmodel.status() WHERE name = 'grants_query';

-- Granting is for superusers and the owner of the extension, even where EXECUTE was given away.
SELECT readmodel.grant_reader('readmodel_test_reader');
RESET ROLE;
GRANT EXECUTE ON FUNCTION readmodel.grant_reader(name) TO readmodel_test_reader;
SET ROLE readmodel_test_reader;
SELECT readmodel.grant_reader('readmodel_test_reader');
RESET ROLE;
REVOKE EXECUTE ON FUNCTION readmodel.grant_reader(name) FROM readmodel_test_reader;
SELECT readmodel.grant_reader('readmodel_test_nobody');
SELECT readmodel.grant_reader(NULL);

-- What a definer may call: all that is not PUBLIC's, except granting.
SELECT proname FROM pg_proc WHERE pronamespace = 'readmodel'::regnamespace
    AND NOT has_function_privilege('readmodel_test_other', oid, 'EXECUTE')
    AND NOT has_function_privilege('readmodel_test_owner', oid, 'EXECUTE') ORDER BY 1;
SELECT has_function_privilege('readmodel_test_owner', 'readmodel.drop_query(text)', 'EXECUTE') AS owner,
    has_function_privilege('readmodel_test_other', 'readmodel.drop_query(text)', 'EXECUTE') AS other;
-- A later grant to PUBLIC does not change what "definer" means.
GRANT EXECUTE ON FUNCTION readmodel.drop_query(text) TO PUBLIC;
SELECT readmodel.revoke_definer('readmodel_test_owner');
REVOKE EXECUTE ON FUNCTION readmodel.drop_query(text) FROM PUBLIC;
SELECT has_function_privilege('readmodel_test_owner', 'readmodel.drop_query(text)', 'EXECUTE') AS owner,
    has_schema_privilege('readmodel_test_owner', 'readmodel_data', 'CREATE') AS indexes;

SELECT readmodel.drop_query('grants_query');
SELECT readmodel.drop_source('grants');
DROP TABLE grants_events;
DROP FUNCTION grants_fail;
REVOKE CREATE ON SCHEMA public FROM readmodel_test_owner;
DROP ROLE readmodel_test_member, readmodel_test_owner, readmodel_test_monitor, readmodel_test_reader, readmodel_test_other;
