-- Applying events in a session.
CREATE PROCEDURE readmodel.catch_up(name text)
    LANGUAGE c AS 'MODULE_PATHNAME', 'readmodel_catch_up';
COMMENT ON PROCEDURE readmodel.catch_up(text) IS
    'applies the settled events to a query of one''s own in this session, and commits after every batch; needs no worker. Errors: 25001 in a transaction block or after a write, RM006 no such query, 42501, 38000 the updater failed';
REVOKE EXECUTE ON PROCEDURE readmodel.catch_up(text) FROM PUBLIC;
