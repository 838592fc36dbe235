-- A log that is appended to.
CREATE SCHEMA log;
SELECT readmodel.create_event_table('log.events');
SELECT readmodel.create_source('log', 'log.events');
