-- Reading: readiness, status, states, and who may see what.
--
-- What reads shared memory is PARALLEL UNSAFE: its answer has to come from the one process that runs the statement.
-- C functions here name all objects with their schema; SET clauses stand where SQL is run from text.

CREATE FUNCTION readmodel_catalog.reader() RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    AS 'SELECT true';
COMMENT ON FUNCTION readmodel_catalog.reader() IS 'EXECUTE on this function is what readmodel.grant_reader() gives: to see the status of all queries';
REVOKE EXECUTE ON FUNCTION readmodel_catalog.reader() FROM PUBLIC;

CREATE FUNCTION readmodel.readiness(name text, definition_hash text DEFAULT NULL) RETURNS text
    LANGUAGE c STABLE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'readmodel_readiness';
COMMENT ON FUNCTION readmodel.readiness(text, text) IS 'status of the query''s newest generation, or of the one with this definition hash: ready, rebuilding, failed, paused, gated or stalled; errors: RM006 no such query or generation, 42501 the caller may not see it';

CREATE FUNCTION readmodel.ready(names text[] DEFAULT NULL) RETURNS boolean
    LANGUAGE c STABLE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'readmodel_ready';
COMMENT ON FUNCTION readmodel.ready(text[]) IS 'whether these queries may all be read now (NULL: all that the caller may see; true if there are none at all, false if there are but the caller may see none); an unknown or hidden name is not ready';

CREATE FUNCTION readmodel.status(
        OUT name text, OUT status text, OUT reason text, OUT generation integer, OUT definition_hash text,
        OUT serving_generation integer, OUT serving_status text, OUT "position" bigint, OUT settled_position bigint,
        OUT head_position bigint, OUT lag bigint, OUT lag_seconds double precision, OUT events_applied bigint,
        OUT events_per_second double precision, OUT estimated_seconds_remaining double precision,
        OUT rebuild_started_at timestamptz, OUT rebuild_finished_at timestamptz, OUT instances bigint, OUT bytes bigint,
        OUT worker_pid integer, OUT error_sqlstate text, OUT error_message text, OUT error_position bigint)
    RETURNS SETOF record
    LANGUAGE c STABLE PARALLEL UNSAFE ROWS 20 SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'readmodel_status';
COMMENT ON FUNCTION readmodel.status() IS 'a row for each query that the caller may see (own ones; all for members of pg_monitor and roles of grant_reader()), about its newest generation; reason: a code, perhaps a colon and a text; lag in events (an upper bound), lag_seconds (since a live query that is behind had applied all there was) and estimated_seconds_remaining in seconds, bytes of the table of states with indexes; worker_pid: the process that moves it now; error_message for the owner and pg_monitor only';

CREATE FUNCTION readmodel.generations(name text,
        OUT generation integer, OUT definition_hash text, OUT status text, OUT serving boolean, OUT "position" bigint,
        OUT bytes bigint, OUT defined_at timestamptz, OUT ready_at timestamptz)
    RETURNS SETOF record
    LANGUAGE c STABLE PARALLEL UNSAFE ROWS 2 SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'readmodel_generations';
COMMENT ON FUNCTION readmodel.generations(text) IS 'the generations of a query that are kept, each with its own status and position; bytes of its table of states with indexes; errors: RM006 no such query, 42501 the caller may not see it';

CREATE FUNCTION readmodel.get(name text, id text, definition_hash text DEFAULT NULL) RETURNS jsonb
    LANGUAGE c STABLE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'readmodel_get_text';
CREATE FUNCTION readmodel.get(name text, id bigint, definition_hash text DEFAULT NULL) RETURNS jsonb
    LANGUAGE c STABLE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'readmodel_get_bigint';
CREATE FUNCTION readmodel.get(name text, id uuid, definition_hash text DEFAULT NULL) RETURNS jsonb
    LANGUAGE c STABLE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'readmodel_get_uuid';
COMMENT ON FUNCTION readmodel.get(text, text, text) IS 'the state of one instance, NULL if there is none; the id is taken as the query''s key type (22P02). RM001 rebuilding, RM002 failed, RM003 paused or gated, RM004 stalled, RM006 no such query or generation; needs SELECT on the query''s view';
COMMENT ON FUNCTION readmodel.get(text, bigint, text) IS 'the state of one instance, NULL if there is none; see readmodel.get(text, text, text)';
COMMENT ON FUNCTION readmodel.get(text, uuid, text) IS 'the state of one instance, NULL if there is none; see readmodel.get(text, text, text)';

CREATE FUNCTION readmodel.wait_for(name text, at_least bigint, timeout interval DEFAULT '30 s') RETURNS bigint
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'readmodel_wait_for';
COMMENT ON FUNCTION readmodel.wait_for(text, bigint, interval) IS 'waits until what get() would answer includes this position and returns the position reached; errors: RM005 timeout, RM002 the query has failed, RM006 no such query, 42501 the caller may not see it, 25001 in a transaction that wrote to the source, or under REPEATABLE READ and above';

CREATE FUNCTION readmodel.grant_reader(role name) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'readmodel_grant_reader';
CREATE FUNCTION readmodel.revoke_reader(role name) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'readmodel_revoke_reader';
CREATE FUNCTION readmodel.grant_definer(role name) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'readmodel_grant_definer';
CREATE FUNCTION readmodel.revoke_definer(role name) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'readmodel_revoke_definer';
COMMENT ON FUNCTION readmodel.grant_reader(name) IS 'lets a role see the status of all queries and sources; for superusers and the owner of the extension; errors: 42501, 42704 no such role';
COMMENT ON FUNCTION readmodel.revoke_reader(name) IS 'takes back what readmodel.grant_reader() gave';
COMMENT ON FUNCTION readmodel.grant_definer(name) IS 'lets a role define and change sources and queries, within its other rights; for superusers and the owner of the extension. Call it again after an update of the extension that brings new functions; errors: 42501, 42704 no such role';
COMMENT ON FUNCTION readmodel.revoke_definer(name) IS 'takes back what readmodel.grant_definer() gave';
REVOKE EXECUTE ON FUNCTION readmodel.grant_reader(name), readmodel.revoke_reader(name), readmodel.grant_definer(name),
    readmodel.revoke_definer(name) FROM PUBLIC;
