-- Queries and their generations.

-- What a key expression reads, as a row: never instantiated, it gives the columns their names when an expression is printed.
CREATE TYPE readmodel_catalog.event AS (
    position bigint,
    type text,
    stream text,
    data jsonb,
    metadata jsonb,
    occurred_at timestamptz
);
COMMENT ON TYPE readmodel_catalog.event IS 'the columns that a query''s key expression can name';

-- In every query's view. STABLE: it answers under the statement's snapshot.
CREATE FUNCTION readmodel_catalog.is_serving(generation_id integer) RETURNS boolean
    LANGUAGE c STABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'readmodel_is_serving';
COMMENT ON FUNCTION readmodel_catalog.is_serving(integer) IS
    'the guard of the queries'' views: true while this generation (by generation_id) serves; otherwise an error, 40001: the statement''s snapshot is older than the takeover, try again';

CREATE FUNCTION readmodel.define_query(name text, source text, updater regprocedure DEFAULT NULL, key text DEFAULT NULL,
        event_types text[] DEFAULT NULL, spec jsonb DEFAULT NULL, options jsonb DEFAULT '{}')
    RETURNS integer
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'readmodel_define_query';
COMMENT ON FUNCTION readmodel.define_query(text, text, regprocedure, text, text[], jsonb, jsonb) IS
    'defines a query, or says that this definition of it is known; returns the number of the definition''s generation. A definition whose hash is new starts a new generation. updater: a function (state jsonb, event jsonb) RETURNS jsonb, not STRICT, called with a NULL state at first, whose NULL deletes the instance; key: an SQL expression over position, type, stream, data, metadata and occurred_at, of type text, uuid, bigint or an array of these, NULL: the event does not concern the query; event_types: NULL: all; spec: a declarative updater as a JSON document, instead of the three before, see the README for its language; options: version (a text), schema (of the view, a text), while_rebuilding (unavailable or serve_previous), on_change (rebuild or gate), on_error (fail or skip), max_dead_letters (0 to 1000000000), rebuild_timeout, updater_timeout and max_lag (intervals above zero), parallel (lanes of a rebuild, 1 to 64), keep_generations (0 to 100). Errors: RM006 no such source, 42501 a right is missing, 42602 or 42622 bad name, 22004 a null argument, 55000 the query reads another source, 42P07 the view''s name is taken, 42P17 and 42804 unfit updater or key, 22023 unfit argument, spec (DETAIL says where by a JSON pointer) or option, 2BP01 the key''s type changes under dependent objects, 0A000 not supported yet';

CREATE FUNCTION readmodel.definition_hash(source text, updater regprocedure DEFAULT NULL, key text DEFAULT NULL,
        event_types text[] DEFAULT NULL, spec jsonb DEFAULT NULL, options jsonb DEFAULT '{}')
    RETURNS text
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'readmodel_definition_hash';
COMMENT ON FUNCTION readmodel.definition_hash(text, regprocedure, text, text[], jsonb, jsonb) IS
    'the definition hash (SHA-256, 64 hexadecimal digits) that define_query would give this definition; needs the same rights, changes nothing. Errors: as define_query';

CREATE FUNCTION readmodel.drop_query(name text) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'readmodel_drop_query';
COMMENT ON FUNCTION readmodel.drop_query(text) IS
    'drops a query of one''s own with its view and all its states. Errors: RM006 no such query, 42501 not the owner, 2BP01 other objects depend on its view or states';

CREATE FUNCTION readmodel.rebuild(name text) RETURNS integer
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'readmodel_rebuild';
COMMENT ON FUNCTION readmodel.rebuild(text) IS
    'builds the newest definition of a query of one''s own anew, as a new generation, whose number it returns; the view shows the serving one until that is ready. Errors: RM006 no such query, 42501 not the owner';

CREATE FUNCTION readmodel.retry(name text) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'readmodel_retry';
COMMENT ON FUNCTION readmodel.retry(text) IS
    'lets a failed query of one''s own (its newest and its serving generation) go on where it failed, once the cause is mended, and once it is resumed if it is paused; a NOTICE if it has not failed. An updater that was replaced needs no call, it is followed as a new generation; for one of another name call readmodel.define_query(). Errors: RM006 no such query, 42501 not the owner';

CREATE FUNCTION readmodel.pause(name text) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'readmodel_pause';
COMMENT ON FUNCTION readmodel.pause(text) IS
    'keeps a query of one''s own, with all its generations, where it is until readmodel.resume(), also across restarts; a batch that is under way is finished. Its status is paused, get raises RM003. A NOTICE if it is paused already. Errors: RM006 no such query, 42501 not the owner';

CREATE FUNCTION readmodel.resume(name text) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'readmodel_resume';
COMMENT ON FUNCTION readmodel.resume(text) IS
    'lets a paused query of one''s own go on where it stands; it is ready once it has caught up. A NOTICE if it is not paused. Errors: RM006 no such query, 42501 not the owner';

CREATE FUNCTION readmodel.state_table(name text, generation integer DEFAULT NULL) RETURNS regclass
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'readmodel_state_table';
COMMENT ON FUNCTION readmodel.state_table(text, integer) IS
    'the table of states of a generation, to index it; by default of the serving one. A new generation has a table of its own, to which they are carried over before it takes over. Errors: RM006 no such query or generation';

REVOKE EXECUTE ON FUNCTION
    readmodel.define_query(text, text, regprocedure, text, text[], jsonb, jsonb),
    readmodel.drop_query(text),
    readmodel.rebuild(text),
    readmodel.retry(text),
    readmodel.pause(text),
    readmodel.resume(text)
    FROM PUBLIC;
