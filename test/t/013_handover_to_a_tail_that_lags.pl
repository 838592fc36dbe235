# A generation that a rebuild hands over to a tail that is far behind the head stays with the tail. Guards the bound of far_behind in
# src/worker/tail_assignment.cpp: with the head in its place, workers started and ended without end until the tail had caught up.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use ReadModelCluster;

my $node = new_server('lagging', 'readmodel.batch_size = 5', 'log_min_messages = debug1');
make_shop($node, 'postgres');
append_orders($node, 'postgres', 100);
$node->safe_psql('postgres', q{
    CREATE FUNCTION public.order_placed_slowly(state jsonb, event jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM pg_sleep(CASE WHEN (event ->> 'position')::bigint > 100 THEN 0.02 END);
        RETURN public.order_placed(state, event);
    END $$;
    SELECT readmodel.define_query('slow', 'shop', 'public.order_placed_slowly(jsonb, jsonb)', key => 'stream')});
wait_until($node, 'postgres', q{readmodel.ready('{slow}')}, 'a slow query is ready');

# From here on the tail has 10 seconds of work before it.
append_orders($node, 'postgres', 500);
my $before = slurp_file($node->logfile);
define_orders($node, 'postgres');
$node->safe_psql('postgres', q{SELECT readmodel.wait_for('slow', 600, '120 s')});
my $starts = () = substr(slurp_file($node->logfile), length $before) =~ /starting background worker process "[^"]*rebuild/g;
cmp_ok($starts, '>=', 1, 'the new query was rebuilt by a worker');
cmp_ok($starts, '<=', 3, "and that did not start over and over ($starts)");
wait_ready($node, 'postgres', 'the new query is ready');
states_equal_oracle($node, 'postgres', 'its states are right');
applied_once($node, 'postgres', 'each event was applied once');

$node->stop;
done_testing();
