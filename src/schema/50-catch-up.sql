-- Applying events in a session.
CREATE PROCEDURE readmodel.catch_up(name text)
    LANGUAGE c AS 'MODULE_PATHNAME', 'readmodel_catch_up';
COMMENT ON PROCEDURE readmodel.catch_up(text) IS
    'applies the settled events to a query of one''s own in this session, and commits after every batch; needs no worker and no preloaded library, and does not make the query ready: that takes a worker. Errors: 25001 in a transaction block or after a write, 0A000 not READ COMMITTED, RM006 no such query, 42501 not the owner, 38000 the updater failed, RM002 it had failed before, 55000 the updater or the source has changed';
REVOKE EXECUTE ON PROCEDURE readmodel.catch_up(text) FROM PUBLIC;
