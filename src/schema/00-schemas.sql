-- Schemas: what users call, our catalog, and the tables of states.
CREATE SCHEMA readmodel;
CREATE SCHEMA readmodel_catalog;
CREATE SCHEMA readmodel_data;

COMMENT ON SCHEMA readmodel IS 'pg_readmodel: functions, and a view for each query';
COMMENT ON SCHEMA readmodel_catalog IS 'pg_readmodel: what is defined and how far it has got; changed by the functions in schema readmodel only';
COMMENT ON SCHEMA readmodel_data IS 'pg_readmodel: a table of states for each generation of a query';

-- The catalog's tables and the tables of states keep their own privileges; names in these schemas are no secret.
GRANT USAGE ON SCHEMA readmodel, readmodel_catalog, readmodel_data TO PUBLIC;
