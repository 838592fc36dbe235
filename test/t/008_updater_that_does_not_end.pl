# An updater that runs for ever and swallows cancels delays neither other queries nor a shutdown.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use ReadModelCluster;

my $node = new_server('endless', 'readmodel.batch_size = 10');    # more than a page is rebuilt in a worker of its own
make_shop($node, 'postgres');
append_orders($node, 'postgres', 20);
define_orders($node, 'postgres');
wait_ready($node, 'postgres', 'a query becomes ready');

$node->safe_psql('postgres', q{
    CREATE FUNCTION public.endless(state jsonb, event jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
    BEGIN
        LOOP
            BEGIN
                PERFORM pg_sleep(60);
            EXCEPTION WHEN query_canceled THEN
                NULL;
            END;
        END LOOP;
    END $$;
    SELECT readmodel.define_query('endless', 'shop', 'public.endless(jsonb, jsonb)', key => 'stream')});
ok($node->poll_query_until('postgres',
    q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'pg_readmodel rebuild' AND wait_event = 'PgSleep'}),
    'a rebuild worker is in the updater');

append_orders($node, 'postgres', 20);
states_equal_oracle($node, 'postgres', 'the other query goes on');

# Well below the limit that PostgreSQL::Test::Cluster has.
command_ok([ 'pg_ctl', '-D', $node->data_dir, '-m', 'fast', '-t', '30', '-w', 'stop' ],
    'a fast shutdown does not wait for it');
$node->_update_pid(0);

done_testing();
