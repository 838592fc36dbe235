# Takeovers, operators and the tail get along: nobody waits in a circle, and nobody acts on what has changed while it waited.
#
# Seen to fail with a rebuild() that does not look again once it has its locks (2BP01, or a deadlock of a reader), with a takeover that
# locks the states only after the query's row, with members of a
# lane that are in the order of their arrival, and with a verify() that does not look whether the states are there.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use ReadModelCluster;

my $node = new_server('locks', 'readmodel.lock_timeout = 60s');
make_shop($node, 'postgres');
append_orders($node, 'postgres', 60);

sub define
{
    my ($query, $version) = @_;
    $node->safe_psql('postgres', qq{SELECT readmodel.define_query('$query', 'shop', 'public.order_placed(jsonb, jsonb)', key => 'stream',
        options => '{"version": "$version"}')});
}

# --- rebuild() waits for a takeover that has begun, or is about to commit
define('orders', '1');
wait_ready($node, 'postgres', 'the first generation is ready');
$node->safe_psql('postgres', q{
    CREATE FUNCTION public.hold_up() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_advisory_xact_lock(4711); END $$});
my $waits = q{EXISTS (SELECT FROM pg_locks WHERE NOT granted AND locktype = '%s')};
my $log = -s $node->logfile;
foreach (['ddl_command_end', 2], ['ddl_command_start', 4])
{
    my ($event, $taken_over) = @$_;
    my $rebuilt = $taken_over + 1;
    $node->safe_psql('postgres', "CREATE EVENT TRIGGER hold_up ON $event WHEN TAG IN ('CREATE VIEW') EXECUTE FUNCTION public.hold_up()");
    my $holder = $node->background_psql('postgres');
    $holder->query_safe('SELECT pg_advisory_lock(4711)');
    define('orders', $taken_over);
    wait_until($node, 'postgres', sprintf($waits, 'advisory'), "the takeover is under way ($event)");
    my $rebuild = $node->background_psql('postgres', on_error_stop => 0);
    $rebuild->query_until(qr/rebuild/, "\\echo rebuild\nSELECT 'generation ' || readmodel.rebuild('orders');\n");
    wait_until($node, 'postgres', q{EXISTS (SELECT FROM pg_locks WHERE NOT granted AND locktype <> 'advisory')}, 'rebuild() waits for it');
    $holder->query_safe('SELECT pg_advisory_unlock(4711)');
    $node->safe_psql('postgres', 'DROP EVENT TRIGGER hold_up');
    $rebuild->quit;
    $holder->quit;
    wait_until($node, 'postgres', qq{(SELECT serving_generation = $rebuilt FROM readmodel.status() WHERE name = 'orders')}, "it has begun generation $rebuilt");
    ok($node->safe_psql('postgres', qq{SELECT ready_at IS NOT NULL FROM readmodel_catalog.generation WHERE generation = $taken_over}) eq 't',
        "generation $taken_over had taken over");
}
unlike(slurp_file($node->logfile, $log), qr/deadlock/, 'nobody waited in a circle');

# --- the tail locks checkpoints in their order, also after it has begun again with one of them
define('others', '1');
wait_until($node, 'postgres', q{readmodel.readiness('others') = 'ready'}, 'another query is ready');
my ($first, $last) = split /\|/, $node->safe_psql('postgres', q{
    SELECT min(generation_id), max(generation_id) FROM readmodel_catalog.generation JOIN readmodel_catalog.query USING (query_id)
     WHERE generation = serving});
my $all_there = q{(SELECT min(position) = (SELECT max(position) FROM public.events) FROM readmodel.status())};
$node->safe_psql('postgres', "UPDATE readmodel_catalog.checkpoint SET revision = revision + 1 WHERE generation_id = $first");
append_orders($node, 'postgres', 1);
wait_until($node, 'postgres', $all_there, 'the tail has begun again with the first one');
my $logged = -s $node->logfile;
my $operator = $node->background_psql('postgres');
$operator->query_safe("BEGIN; SELECT FROM readmodel_catalog.checkpoint WHERE generation_id = $first FOR UPDATE");
append_orders($node, 'postgres', 1);
wait_until($node, 'postgres', sprintf($waits, 'transactionid'), 'the tail waits for its checkpoint');
$operator->query_safe("SELECT FROM readmodel_catalog.checkpoint WHERE generation_id = $last FOR UPDATE; COMMIT");
$operator->quit;
wait_until($node, 'postgres', $all_there, 'it goes on');
unlike(slurp_file($node->logfile, $logged), qr/deadlock/, 'without a deadlock');

# --- whoever looks inside under a snapshot from before a takeover is told, when the old states are gone by now
my $reader = $node->background_psql('postgres', on_error_stop => 0);
$reader->query('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM public.events');
$node->safe_psql('postgres', q{SELECT readmodel.define_query('others', 'shop', 'public.order_placed(jsonb, jsonb)', key => 'stream',
    options => '{"version": "2", "keep_generations": 0}')});
wait_until($node, 'postgres', q{(SELECT count(*) = 1 FROM readmodel.generations('others')) AND readmodel.readiness('others') = 'ready'},
    'a new generation has taken over, and the old one is dropped');
$logged = -s $node->logfile;
$reader->query(q{SELECT * FROM readmodel.verify('others')});
$reader->quit;
like(slurp_file($node->logfile, $logged), qr/ERROR:  a table was dropped concurrently/, 'verify() says so');

$node->stop;
done_testing;
