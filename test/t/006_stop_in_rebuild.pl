# A rebuild that is told to stop stores what it has done, even from within an updater, and goes on from there.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use ReadModelCluster;

# A long flush interval: what is stored was flushed because of the stop.
my $node = new_server('rebuild', 'readmodel.flush_interval = 1h', 'readmodel.batch_size = 100');
make_shop($node, 'postgres');
append_orders($node, 'postgres', 3000);

# The updater stands still at the positions in table stop.
$node->safe_psql('postgres', q{
    CREATE TABLE public.stop (position bigint);
    CREATE FUNCTION public.order_placed_with_stops(state jsonb, event jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
    BEGIN
        IF EXISTS (SELECT FROM public.stop WHERE position = (event ->> 'position')::bigint) THEN
            PERFORM pg_sleep(3600);
        END IF;
        RETURN public.order_placed(state, event);
    END $$;
    INSERT INTO public.stop VALUES (1550);
    SELECT readmodel.define_query('orders', 'shop', 'public.order_placed_with_stops(jsonb, jsonb)', key => 'stream')});

my $stored = q{SELECT coalesce(max(position), 0) FROM readmodel_catalog.checkpoint};

sub wait_for_stop
{
    ok($node->poll_query_until('postgres',
        q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'pg_readmodel rebuild' AND wait_event = 'PgSleep'}),
        'the rebuild stands in the updater') or diag(reason($node, 'postgres'));
}

# From here on an event that was stored stops whoever applies it again.
sub move_stop
{
    my ($position) = @_;
    $node->safe_psql('postgres', "UPDATE public.stop SET position = $position; INSERT INTO public.stop VALUES (1), (1400)");
}

wait_for_stop();
is($node->safe_psql('postgres', $stored), '0', 'nothing is stored yet');
my $worker = worker_pid($node, 'rebuild');
$node->safe_psql('postgres', "SELECT pg_terminate_backend($worker)");
ok($node->poll_query_until('postgres', "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $worker)"),
    'SIGTERM ends the worker');
is($node->safe_psql('postgres', $stored), '1549', 'all that it had done is stored');

move_stop(2550);
$node->safe_psql('postgres',
    q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'pg_readmodel rebuild'});
wait_for_stop();
$node->restart;    # fast
is($node->safe_psql('postgres', $stored), '2549', 'a fast shutdown stores it too');

move_stop(2000);
$node->restart;
wait_ready($node, 'postgres', 'the rebuild ends without applying anything again');
states_equal_oracle($node, 'postgres', 'the states are right');
applied_once($node, 'postgres', 'each event was applied once');

$node->stop;
done_testing();
