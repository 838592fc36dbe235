-- What the HTTP service reads: a status instead of an error, and all of a response in one statement.

CREATE FUNCTION readmodel.read_state(name text, id text, definition_hash text DEFAULT NULL,
        OUT status text, OUT reason text, OUT generation integer, OUT definition_hash text, OUT "position" bigint,
        OUT estimated_seconds_remaining double precision, OUT state jsonb, OUT state_position bigint,
        OUT updated_at timestamptz)
    RETURNS record
    -- Without a search_path of its own, which takes a tenth of a read: it looks up no name by it, and where SQL is run, one is set.
    LANGUAGE c STABLE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'readmodel_read_state';
CREATE FUNCTION readmodel.read_states_by_id(name text, ids text[], definition_hash text DEFAULT NULL,
        OUT status text, OUT reason text, OUT generation integer, OUT definition_hash text, OUT "position" bigint,
        OUT estimated_seconds_remaining double precision, OUT state jsonb, OUT state_position bigint,
        OUT updated_at timestamptz)
    RETURNS SETOF record
    LANGUAGE c STABLE PARALLEL UNSAFE ROWS 20
    AS 'MODULE_PATHNAME', 'readmodel_read_states_by_id';
CREATE FUNCTION readmodel.read_states(name text, after text DEFAULT NULL, max_rows integer DEFAULT 100,
        definition_hash text DEFAULT NULL,
        OUT status text, OUT reason text, OUT generation integer, OUT definition_hash text, OUT "position" bigint,
        OUT estimated_seconds_remaining double precision, OUT state jsonb, OUT state_position bigint,
        OUT updated_at timestamptz, OUT id text)
    RETURNS SETOF record
    LANGUAGE c STABLE PARALLEL UNSAFE ROWS 100 SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'readmodel_read_states';
COMMENT ON FUNCTION readmodel.read_state(text, text, text) IS 'one row about a read of one instance, under one snapshot; status: ready, stale (with while_rebuilding = serve_previous an older or paused generation answers) or why nothing does: rebuilding, failed, paused, gated, stalled, unknown; reason: a code, perhaps a colon and a text without any data; of unknown it is query, there is none of that name, or definition_hash, it has no such generation; of ready and stale it can be invalid_id, the id is no value of the key''s type; generation, definition_hash, position: of the generation that answers, else of the one asked for (the newest, or the one with this hash), and what it includes; state, state_position, updated_at: the instance, NULL if there is none or nothing answers. Errors: 42501 no SELECT on the query''s view, 40001 the query was changed meanwhile';
COMMENT ON FUNCTION readmodel.read_states_by_id(text, text[], text) IS 'readmodel.read_state(text, text, text) of each of these ids, a row for each in their order, all under one snapshot. Errors: as read_state(), 22004 ids is null';
COMMENT ON FUNCTION readmodel.read_states(text, text, integer, text) IS 'a page of a query''s states in the order of their ids: at most max_rows whose ids come after the given one, all under one snapshot; the columns of readmodel.read_state(text, text, text), and the id as text; at least one row, with a NULL id where there is no state or nothing answers. Errors: as read_state(), 22023 max_rows below 1';

CREATE FUNCTION readmodel.readiness_report(names text[] DEFAULT NULL, definition_hash text DEFAULT NULL,
        only_unserved boolean DEFAULT false,
        OUT name text, OUT status text, OUT reason text, OUT generation integer, OUT definition_hash text,
        OUT "position" bigint, OUT lag bigint, OUT estimated_seconds_remaining double precision, OUT served text,
        OUT served_generation integer, OUT served_definition_hash text)
    RETURNS SETOF record
    LANGUAGE c STABLE PARALLEL UNSAFE ROWS 20 SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'readmodel_readiness_report';
COMMENT ON FUNCTION readmodel.readiness_report(text[], text, boolean) IS 'what readmodel.status() says of readiness, for probes: a row for each of these names in their order (NULL: all queries that the caller may see, by name), about its newest generation or the one with this definition hash; status: as status(), or unknown for a name that no query has (reason: query), or one without such a generation (definition_hash); hidden for a name that no query has that the caller may see, where he may not see all, and, if all were asked for, in one more row without a name, where there are queries that he may not see; served: what a read is answered as, ready or stale, NULL: it is not; served_generation, served_definition_hash: of the generation that answers it; only_unserved: only the rows where nothing does';

CREATE FUNCTION readmodel.query_counters(
        OUT name text, OUT generation integer, OUT dead_letters bigint, OUT failures bigint, OUT batches bigint,
        OUT events_applied bigint, OUT events_replayed bigint, OUT rebuild_seconds double precision)
    RETURNS SETOF record
    LANGUAGE c STABLE PARALLEL UNSAFE ROWS 20 SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'readmodel_query_counters';
COMMENT ON FUNCTION readmodel.query_counters() IS 'a row for each query that the caller may see, with what metrics need beyond readmodel.status(); generation: the newest; dead_letters: as readmodel.dead_letters() lists them; failures, batches (transactions that stored progress): of all its generations, counted in memory since the server started, NULL on a standby; events_applied: by the newest generation; events_replayed: by its rebuild, which stands still once it is live; rebuild_seconds: how long that took, or has taken until now or until it failed, NULL: no worker has begun it';
