# Whatever happens to an event table while queries follow it, they lose nothing, or say what is in their way.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use ReadModelCluster;

my $node = new_server('sources', 'readmodel.poll_interval = 100', 'readmodel.lock_timeout = 10000');
make_shop($node, 'postgres');
append_orders($node, 'postgres', 50);
define_orders($node, 'postgres');
wait_ready($node, 'postgres', 'a query becomes ready');

# A query over a table of another kind, with its oracle.
sub other_source
{
    my ($name, $table, $settle) = @_;
    $node->safe_psql('postgres', "$table; SELECT readmodel.create_source('$name', 'public.$name', settle => '$settle');
        SELECT readmodel.define_query('of_$name', '$name', 'public.order_placed(jsonb, jsonb)', key => 'stream')");
}

sub other_equal
{
    my ($name, $what) = @_;
    $node->safe_psql('postgres', "SELECT readmodel.wait_for('of_$name', (SELECT max(position) FROM public.$name), '20 s')");
    is($node->safe_psql('postgres', qq{
        SELECT count(*), count(*) FILTER (WHERE state IS DISTINCT FROM expected)
        FROM readmodel.of_$name
        FULL JOIN (
            SELECT stream_id AS id, jsonb_build_object('orders', count(*), 'total', sum((data ->> 'amount')::bigint),
                'positions', jsonb_agg(position ORDER BY position)) AS expected
            FROM public.$name GROUP BY stream_id) oracle USING (id)}),
        $node->safe_psql('postgres', "SELECT count(DISTINCT stream_id), 0 FROM public.$name"), $what);
}

my $columns = 'stream_id text, type text, data jsonb';
my $order = q{'OrderPlaced', jsonb_build_object('amount', i)};

# --- positions that the application numbers itself, from 0: what lies before the first one takes its time (the rest is below)
other_source('numbered', "CREATE TABLE public.numbered (position bigint PRIMARY KEY, $columns);
    INSERT INTO public.numbered SELECT i, 'stream ' || i % 3, $order FROM generate_series(0, 9) i", 'gap_timeout');

# --- a sequence that starts at 0
other_source('zero', "CREATE TABLE public.zero (
        position bigint GENERATED ALWAYS AS IDENTITY (MINVALUE 0 START 0) PRIMARY KEY, $columns)", 'sequence');
wait_until($node, 'postgres', q{readmodel.ready(ARRAY['of_zero'])}, 'an empty source: the query is ready');
$node->safe_psql('postgres', "INSERT INTO public.zero (stream_id, type, data) SELECT 'only', $order FROM generate_series(1, 1) i");
is($node->safe_psql('postgres', q{SELECT readmodel.wait_for('of_zero', 0, '20 s')}), '0', 'position 0 is reached');
other_equal('zero', 'and its event applied');

# --- partitions that are written directly, which no hook sees
other_source('parts', "CREATE SEQUENCE public.numbers;
    CREATE TABLE public.parts (position bigint NOT NULL DEFAULT nextval('public.numbers') PRIMARY KEY, $columns)
        PARTITION BY RANGE (position);
    CREATE TABLE public.part_1 PARTITION OF public.parts FOR VALUES FROM (0) TO (21);
    CREATE TABLE public.part_2 PARTITION OF public.parts FOR VALUES FROM (21) TO (1000)", 'sequence');
wait_until($node, 'postgres', q{readmodel.ready(ARRAY['of_parts'])}, 'a partitioned event table: the query is ready');
foreach my $target ('parts', 'part_1', 'part_2')
{
    $node->safe_psql('postgres',
        "INSERT INTO public.$target (stream_id, type, data) SELECT 'stream ' || i % 3, $order FROM generate_series(1, 10) i");
    other_equal('parts', "what is inserted into $target is found");
}

# --- what a source's numbers leave open is closed by time alone where no sequence can be asked
wait_until($node, 'postgres', q{readmodel.ready(ARRAY['of_numbered'])}, 'a source without a sequence: the query becomes ready');
other_equal('numbered', 'position 0 is an event like any other');
$node->safe_psql('postgres',
    "INSERT INTO public.numbered SELECT i, 'stream ' || i % 3, $order FROM generate_series(10, 19) i");
other_equal('numbered', 'and it follows');

# --- a rewrite: a snapshot from before it sees an empty table
my $writer = $node->background_psql('postgres', on_error_die => 1);
foreach my $round (1 .. 2)
{
    $writer->query_safe('BEGIN');
    $writer->query_safe(q{INSERT INTO public.events (stream_id, type, data)
        SELECT 'customer ' || i, 'OrderPlaced', '{"amount": 1}' FROM generate_series(1, 5) i});
    $writer->query_safe("ALTER TABLE public.events ADD COLUMN extra_$round uuid DEFAULT gen_random_uuid()");
    $writer->query_safe(q{INSERT INTO public.events (stream_id, type, data)
        SELECT 'customer ' || i, 'OrderPlaced', '{"amount": 2}' FROM generate_series(1, 5) i});
    # In the lock's queue, or with the source set aside until the lock is gone.
    wait_until($node, 'postgres', q{EXISTS (SELECT FROM pg_locks JOIN pg_stat_activity USING (pid)
        WHERE backend_type = 'pg_readmodel tail' AND relation = 'public.events'::regclass AND NOT granted)
        OR EXISTS (SELECT FROM readmodel.status() WHERE name = 'orders' AND status = 'stalled' AND reason ~ '^lock')},
        "a worker waits for a table that is being rewritten, round $round");
    $writer->query_safe('COMMIT');
    append_orders($node, 'postgres', 5);
    states_equal_oracle($node, 'postgres', "an event table that is rewritten, round $round");
}
applied_once($node, 'postgres', 'each event was applied once');

# --- somebody holds the event table for longer than a worker waits
$node->append_conf('postgresql.conf', 'readmodel.lock_timeout = 100');
$node->reload;
my $pid = $writer->query_safe('SELECT pg_backend_pid()');
$writer->query_safe('BEGIN; LOCK TABLE public.events IN ACCESS EXCLUSIVE MODE');
$writer->query_safe(q{INSERT INTO public.events (stream_id, type, data) VALUES ('customer 1', 'OrderPlaced', '{"amount": 3}')});
wait_until($node, 'postgres', "status = 'stalled' AND reason ~ '^lock\\M.*\\m$pid\\M' FROM readmodel.status() WHERE name = 'orders'",
    'a locked event table stalls the query, and the reason names who holds it');
is($node->safe_psql('postgres', q{SELECT readmodel.readiness('of_numbered')}), 'ready', 'a query of another source does not mind');
$writer->query_safe('COMMIT');
wait_ready($node, 'postgres', 'ready again without the lock');
states_equal_oracle($node, 'postgres', 'with what was appended under it');

# --- row-level security would hide events from the workers, who read as the table's owner
$node->safe_psql('postgres', q{CREATE ROLE keeper; ALTER TABLE public.events OWNER TO keeper});
wait_ready($node, 'postgres', 'the event table has another owner');
append_orders($node, 'postgres', 5);
states_equal_oracle($node, 'postgres', 'nothing is lost');
$node->safe_psql('postgres', 
    'ALTER TABLE public.events ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY');
append_orders($node, 'postgres', 5);
wait_until($node, 'postgres', "status = 'stalled' AND reason ~ '^permission.*row-level security' FROM readmodel.status() WHERE name = 'orders'",
    'row-level security that is switched on stalls the query');
$node->safe_psql('postgres', 'ALTER TABLE public.events NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY');
wait_ready($node, 'postgres', 'ready again when it is switched off');
states_equal_oracle($node, 'postgres', 'the events that were hidden are there');
applied_once($node, 'postgres', 'each event was applied once');

$writer->quit;
$node->stop;
done_testing();
