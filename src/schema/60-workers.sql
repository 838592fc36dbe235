-- The launcher looks at this database as soon as the extension's creation has committed, instead of at its next rare round.
CREATE FUNCTION readmodel_catalog.announce_extension() RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'readmodel_announce_extension';
COMMENT ON FUNCTION readmodel_catalog.announce_extension() IS 'asks the launcher to look for the extension in this database when the transaction has committed';
REVOKE ALL ON FUNCTION readmodel_catalog.announce_extension() FROM PUBLIC;

SELECT readmodel_catalog.announce_extension();
