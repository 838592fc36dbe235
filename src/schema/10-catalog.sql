-- The catalog. It survives pg_dump and pg_upgrade: relations as regclass, functions and types as text, no bare oids.
--
-- No foreign keys between these tables: the jobs of a parallel pg_restore load them in any order, and what it could not load for a
-- foreign key it would leave out. The functions that define and drop things keep the rows together, with the same locks.

CREATE TABLE readmodel_catalog.source (
    source_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE CHECK (name <> ''),
    events regclass NOT NULL,                      -- the source belongs to the owner of this table
    marker regclass NOT NULL,                      -- a view over the event table, so that the table cannot be dropped under the source
    position_column name NOT NULL,
    type_expression text NOT NULL,
    stream_expression text NOT NULL,
    data_expression text NOT NULL,
    metadata_expression text,
    occurred_at_expression text,
    settle text NOT NULL,                          -- sequence, guarded, gap_timeout
    search_path text NOT NULL,                     -- of the expressions
    stamp text NOT NULL,                           -- system identifier, database and table oid: a mismatch means a restore
    registered_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE readmodel_catalog.source IS 'event tables and how their columns map to events';

CREATE TABLE readmodel_catalog.query (
    query_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE CHECK (name <> ''),
    source_id integer NOT NULL,
    view regclass NOT NULL,                        -- the query belongs to the owner of this view
    options jsonb NOT NULL DEFAULT '{}',
    newest integer NOT NULL,                       -- the newest defined generation
    serving integer NOT NULL,                      -- the generation that the view shows
    paused_at timestamptz                          -- since when an operator keeps it from being moved; NULL: nobody does
);
CREATE INDEX query_source ON readmodel_catalog.query (source_id);
COMMENT ON TABLE readmodel_catalog.query IS 'the named read models';

CREATE TABLE readmodel_catalog.generation (
    generation_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    query_id integer NOT NULL,
    generation integer NOT NULL,                   -- 1, 2, .. within the query
    definition_hash text NOT NULL,
    updater text,                                  -- signature, schema-qualified
    key_expression text,
    key_type text NOT NULL CHECK (key_type IN ('text', 'uuid', 'bigint')),
    key_is_array boolean NOT NULL,                 -- one event concerns several instances
    event_types text[],                            -- NULL: all
    spec jsonb,
    search_path text NOT NULL,                     -- of the key expression and the updater
    state_table regclass,                          -- NULL: rejected or dropped, only the definition hash is remembered
    alias_table regclass,                          -- of a spec that uses aliases
    phase text NOT NULL CHECK (phase IN ('gated', 'rejected', 'rebuilding', 'live', 'dropped')),
    defined_at timestamptz NOT NULL DEFAULT now(),
    rebuild_started_at timestamptz,
    prepared_for text,                             -- a digest of the serving one's indexes, privileges, .. that it was given; NULL: not yet
    ready_at timestamptz,                          -- when it became live ..
    events_replayed bigint,                        -- .. and how many events it had applied by then
    version text,                                  -- the option: part of the definition
    ended_at timestamptz,                          -- when it was rejected or dropped ..
    declined boolean NOT NULL DEFAULT false,       -- .. by an operator, so that it is not built again without being told
    UNIQUE (query_id, generation),
    CHECK ((state_table IS NULL) = (phase IN ('rejected', 'dropped')))
);
COMMENT ON TABLE readmodel_catalog.generation IS 'the builds of each query: one per definition hash';

-- Updated with every batch: nothing but the key is indexed, and there is room for HOT updates.
CREATE TABLE readmodel_catalog.checkpoint (
    generation_id integer PRIMARY KEY,
    position bigint,                               -- the last position applied; NULL: nothing yet
    events_applied bigint NOT NULL DEFAULT 0,
    instances bigint NOT NULL DEFAULT 0,
    shares integer NOT NULL DEFAULT 1,             -- above 1: the rebuild is split, and this row stands still until they are done
    revision integer NOT NULL DEFAULT 0,           -- raised by whoever changes states but its lane, which then forgets what it has in memory
    updated_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 20, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0);
COMMENT ON TABLE readmodel_catalog.checkpoint IS 'how far each generation has got; moved by compare-and-set only';

-- The condition costs the workers next to nothing; an operator who sets a checkpoint back would have events counted twice.
CREATE FUNCTION readmodel_catalog.checkpoint_moves_forward() RETURNS trigger
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'readmodel_checkpoint_moves_forward';
COMMENT ON FUNCTION readmodel_catalog.checkpoint_moves_forward() IS 'refuses (55000) to set a checkpoint back';
REVOKE ALL ON FUNCTION readmodel_catalog.checkpoint_moves_forward() FROM PUBLIC;
CREATE TRIGGER moves_forward BEFORE UPDATE ON readmodel_catalog.checkpoint FOR EACH ROW
    WHEN (NEW.position < OLD.position OR (NEW.position IS NULL AND OLD.position IS NOT NULL))
    EXECUTE FUNCTION readmodel_catalog.checkpoint_moves_forward();

CREATE TABLE readmodel_catalog.share (
    generation_id integer NOT NULL,
    share integer NOT NULL,                        -- 0, 1, ..: which instances is decided by their ids
    position bigint,                               -- the last position applied; NULL: nothing yet
    up_to bigint NOT NULL,                         -- where all shares of the generation end
    finished boolean NOT NULL DEFAULT false,
    events_applied bigint NOT NULL DEFAULT 0,
    instances bigint NOT NULL DEFAULT 0,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (generation_id, share)
) WITH (fillfactor = 20);
COMMENT ON TABLE readmodel_catalog.share IS 'how far each lane of a rebuild has got that is split by instances';

CREATE TABLE readmodel_catalog.failure (
    generation_id integer PRIMARY KEY,
    reason text NOT NULL,                          -- updater_error, source_rewound, definition_changed, timeout, ..
    position bigint,                               -- the event that could not be applied
    sqlstate text,
    message text,
    failed_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE readmodel_catalog.failure IS 'generations that stand still until an operator acts';

CREATE TABLE readmodel_catalog.dead_letter (
    generation_id integer NOT NULL,
    position bigint NOT NULL,                      -- the event that was passed over
    sqlstate text NOT NULL,
    message text NOT NULL,
    failed_at timestamptz NOT NULL DEFAULT now(),
    discarded_at timestamptz,                      -- an operator has given it up: listed no more, and left out for good
    PRIMARY KEY (generation_id, position)
);
COMMENT ON TABLE readmodel_catalog.dead_letter IS 'events that a query with on_error = skip has passed over';

SELECT pg_catalog.pg_extension_config_dump('readmodel_catalog.source', '');
SELECT pg_catalog.pg_extension_config_dump('readmodel_catalog.source_source_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('readmodel_catalog.query', '');
SELECT pg_catalog.pg_extension_config_dump('readmodel_catalog.query_query_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('readmodel_catalog.generation', '');
SELECT pg_catalog.pg_extension_config_dump('readmodel_catalog.generation_generation_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('readmodel_catalog.checkpoint', '');
SELECT pg_catalog.pg_extension_config_dump('readmodel_catalog.share', '');
SELECT pg_catalog.pg_extension_config_dump('readmodel_catalog.failure', '');
SELECT pg_catalog.pg_extension_config_dump('readmodel_catalog.dead_letter', '');

REVOKE ALL ON ALL TABLES IN SCHEMA readmodel_catalog FROM PUBLIC;
