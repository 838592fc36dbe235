-- Which generation of a query is in force.

CREATE FUNCTION readmodel.activate(name text, generation integer) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'readmodel_activate';
COMMENT ON FUNCTION readmodel.activate(text, integer) IS
    'makes a generation of a query of one''s own the newest, the one in force: a live one is shown by the view at once, one that is being built or gated takes over when it is ready, one that was rejected or dropped is built again under a new number; a NOTICE says what was done. Safe to repeat. Errors: RM006 no such query or generation, 42501 not the owner, 55000 its definition is not there any more, 42883 nor is its updater, 55P03 the view is being read all the time, 2BP01 the key''s type changes under dependent objects';

CREATE FUNCTION readmodel.approve(name text) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'readmodel_approve';
COMMENT ON FUNCTION readmodel.approve(text) IS
    'lets the generation that waits at the gate (option on_change = gate) of a query of one''s own be built; a NOTICE if none waits. Errors: RM006 no such query, 42501 not the owner';

CREATE FUNCTION readmodel.reject(name text) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'readmodel_reject';
COMMENT ON FUNCTION readmodel.reject(text) IS
    'turns down the generation that waits at the gate (option on_change = gate) of a query of one''s own and remembers its definition hash, so that define_query() does not ask again; the serving generation is the newest again; a NOTICE if none waits. activate() builds it after all. Errors: RM006 no such query, 42501 not the owner';

CREATE FUNCTION readmodel.cancel_rebuild(name text) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'readmodel_cancel_rebuild';
COMMENT ON FUNCTION readmodel.cancel_rebuild(text) IS
    'gives up the newest generation of a query of one''s own while it is being built: its states are dropped, its definition hash is remembered, and the serving generation is the newest again. The first generation of a query stands still instead, failed with reason operator, until retry(). A NOTICE if none is being built. Errors: RM006 no such query, 42501 not the owner, 2BP01 other objects depend on its states';

REVOKE EXECUTE ON FUNCTION
    readmodel.activate(text, integer),
    readmodel.approve(text),
    readmodel.reject(text),
    readmodel.cancel_rebuild(text)
    FROM PUBLIC;
