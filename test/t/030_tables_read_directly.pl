# Events are read straight from the index where the table allows it, and by SQL where it does not: nobody can tell by the states.
#
# Guards source/direct_scan.cpp, and that a page of large events is cut (most_page_bytes). Seen to fail with the header of a value that
# is stored apart taken for a short one, and with pages that are not cut, in either way of reading.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use ReadModelCluster;

my $node = new_server('tables', 'readmodel.poll_interval = 100', 'readmodel.batch_size = 100');
$node->safe_psql('postgres', q{
    CREATE EXTENSION pg_readmodel;
    CREATE ROLE owner;
    GRANT CREATE ON SCHEMA public TO owner;
    CREATE FUNCTION public.collect(state jsonb, event jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE
    RETURN coalesce(state, '[]'::jsonb) || (event - 'stream');
    CREATE FUNCTION public.longest(state jsonb, event jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE
    RETURN jsonb_build_object('n', coalesce((state ->> 'n')::int, 0) + 1,
        'longest', greatest((state ->> 'longest')::int, length(event #>> '{data,of}')));
});

# A table with 300 events, its source and a query over it.
sub table_of
{
    my ($name, $columns, $values, $more, $mapping, $then) = @_;
    $node->safe_psql('postgres', "CREATE TABLE public.$name ($columns); ALTER TABLE public.$name OWNER TO owner; " . ($more // ''));
    $node->safe_psql('postgres', "INSERT INTO public.$name $values FROM generate_series(1, 300) i");
    $node->safe_psql('postgres', ($then // '') . ";
        SELECT readmodel.create_source('$name', 'public.$name'" . ($mapping // '') . ");
        SELECT readmodel.define_query('of_$name', '$name', 'public.collect(jsonb, jsonb)', key => 'stream')");
}

# The states are those of the expressions, computed in SQL.
sub equal
{
    my ($name, $type, $stream, $data, $what) = @_;
    wait_until($node, 'postgres', "readmodel.ready(ARRAY['of_$name'])", "$what: ready");
    $node->safe_psql('postgres', "SELECT readmodel.wait_for('of_$name', (SELECT max(position) FROM public.$name), '20 s')");
    is($node->safe_psql('postgres', qq{
        SELECT count(*) > 0, count(*) FILTER (WHERE state IS DISTINCT FROM expected)
        FROM readmodel.of_$name
        FULL JOIN (SELECT $stream AS id, jsonb_agg(jsonb_build_object('position', position, 'type', $type, 'data', $data)
                       ORDER BY position) AS expected
                   FROM public.$name GROUP BY 1) oracle USING (id)}), 't|0', "$what: the states are right");
}

my $position = 'position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY';
my $values = q{(stream_id, type, data) SELECT 's' || i % 3, 't' || i, jsonb_build_object('i', i, 'of', repeat('x', i))};

table_of('plain', "$position, stream_id text, type text, data jsonb", $values);
equal('plain', 'type', 'stream_id', 'data', 'a plain table');

# In the order of their numbers, whatever the order of the columns; what lies between them is gone or not mapped.
table_of('dropped', "gone int, data jsonb, gone_too text, $position, other uuid DEFAULT gen_random_uuid(), type text, stream_id text",
    $values, 'ALTER TABLE public.dropped DROP gone, DROP gone_too');
equal('dropped', 'type', 'stream_id', 'data', 'columns were dropped before the mapped ones');

# The first rows have none of the later columns in them.
table_of('later', "$position, stream_id text", q{(stream_id) SELECT 's' || i % 3}, undef, undef,
    q{ALTER TABLE public.later ADD type text DEFAULT 'before', ADD data jsonb DEFAULT '{"added": "later"}'});
$node->safe_psql('postgres', q{INSERT INTO public.later (stream_id, type, data) VALUES ('s1', 'now', NULL), ('s2', NULL, '1')});
equal('later', 'type', 'stream_id', 'data', 'columns came later, with defaults');

table_of('large', "$position, stream_id text, type text, data jsonb",
    q{(stream_id, type, data) SELECT 's' || i % 3, 't', CASE i % 3
        WHEN 0 THEN jsonb_build_object('compressed', repeat('x', 3000 + i))
        WHEN 1 THEN jsonb_build_object('apart', (SELECT string_agg(md5(i::text || j), '') FROM generate_series(1, 200) j))
        ELSE jsonb_build_object('short', i) END});
equal('large', 'type', 'stream_id', 'data', 'compressed and toasted events');

table_of('characters', "$position, stream_id varchar(10), type char(8), data jsonb", $values);
equal('characters', "type::text", 'stream_id::text', 'data', 'other kinds of text');

table_of('expressions', "$position, stream_id text, type text, data jsonb", $values, undef,
    q{, type => $$data ->> 'i'$$, data => $$data -> 'of'$$});
equal('expressions', q{data ->> 'i'}, 'stream_id', q{data -> 'of'}, 'a mapping by expressions');

table_of('parent', "$position, stream_id text, type text, data jsonb", $values);
equal('parent', 'type', 'stream_id', 'data', 'before it has a child');

# An index that does not hold all rows, or not yet, is not the one to read.
table_of('indexes', 'position bigint GENERATED ALWAYS AS IDENTITY NOT NULL, stream_id text, type text, data jsonb', $values,
    q{CREATE INDEX partial_index ON public.indexes (position) WHERE type = 't1';
      CREATE INDEX whole_index ON public.indexes (position DESC)});
equal('indexes', 'type', 'stream_id', 'data', 'a partial index beside a descending one');
$node->safe_psql('postgres', q{CREATE INDEX other_index ON public.indexes (position, type);
    UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'public.other_index'::regclass;
    INSERT INTO public.indexes (stream_id, type, data) SELECT 's1', 'u', '1' FROM generate_series(1, 200)});
equal('indexes', 'type', 'stream_id', 'data', 'an invalid index');

# The plan is made anew when the table changes under it.
$node->safe_psql('postgres', q{ALTER TABLE public.plain ADD first_new text, ADD second_new int DEFAULT 7;
    ALTER TABLE public.plain ALTER type TYPE varchar(100);
    INSERT INTO public.plain (stream_id, type, data) SELECT 's1', 'v' || i, '[]' FROM generate_series(1, 200) i;
    ALTER TABLE public.plain DROP first_new;
    VACUUM FULL public.plain;
    INSERT INTO public.plain (stream_id, type, data) SELECT 's2', 'w' || i, '{}' FROM generate_series(1, 200) i});
equal('plain', 'type::text', 'stream_id', 'data', 'a table that was altered and rewritten');

# --- the owner's rights are looked at with every page
$node->safe_psql('postgres', q{REVOKE SELECT ON public.large FROM owner;
    INSERT INTO public.large (stream_id, type, data) VALUES ('s0', 't', '1')});
wait_until($node, 'postgres', q{(SELECT status = 'stalled' AND reason LIKE 'permission%' FROM readmodel.status() WHERE name = 'of_large')},
    'without SELECT nothing is read');
$node->safe_psql('postgres', 'GRANT SELECT ON public.large TO owner');
equal('large', 'type', 'stream_id', 'data', 'with SELECT they are read on');

# --- row-level security that is forced on the owner
$node->safe_psql('postgres', q{ALTER TABLE public.dropped ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
    CREATE POLICY even ON public.dropped USING (position % 2 = 0);
    INSERT INTO public.dropped (stream_id, type, data) VALUES ('s0', 't', '1'), ('s1', 't', '2')});
wait_until($node, 'postgres', q{(SELECT status <> 'ready' FROM readmodel.status() WHERE name = 'of_dropped')},
    'events that a policy may hide are not read around');
$node->safe_psql('postgres', 'ALTER TABLE public.dropped NO FORCE ROW LEVEL SECURITY');
equal('dropped', 'type', 'stream_id', 'data', 'without it they are');

# Events of a megabyte each, which take a few kilobytes in the table, are read in pages of 16 MB, whatever the setting: 40 of them in
# three pages, each of which keeps its place. The tail counts its pages.
foreach my $way (['direct', ''], ['by_sql', q{, type => $$lower(type)$$}])
{
    my ($name, $mapping) = @$way;
    $node->safe_psql('postgres', qq{
        CREATE TABLE public.huge_$name ($position, stream_id text, type text, data jsonb);
        SELECT readmodel.create_source('huge_$name', 'public.huge_$name'$mapping);
        SELECT readmodel.define_query('of_huge_$name', 'huge_$name', 'public.longest(jsonb, jsonb)', key => 'stream')});
    wait_until($node, 'postgres', "readmodel.ready(ARRAY['of_huge_$name'])", "huge events, $name: ready");
    my $pages = "SELECT batches FROM readmodel.source_status() WHERE name = 'huge_$name'";
    my $before = $node->safe_psql('postgres', $pages);
    $node->safe_psql('postgres', qq{INSERT INTO public.huge_$name (stream_id, type, data)
        SELECT 's' || i % 3, 't', jsonb_build_object('of', repeat('x', 1048576 + i)) FROM generate_series(1, 40) i});
    $node->safe_psql('postgres', "SELECT readmodel.wait_for('of_huge_$name', 40, '60 s')");
    is($node->safe_psql('postgres', $pages) - $before, 3, "huge events, $name: in three pages");
    is($node->safe_psql('postgres', "SELECT string_agg(concat_ws(' ', id, state ->> 'n', state ->> 'longest'), ', ' ORDER BY id) FROM readmodel.of_huge_$name"),
        's0 13 1048615, s1 14 1048616, s2 13 1048614', "huge events, $name: each is read once");
}

$node->stop;
done_testing();
