# Who drops or gives up what a worker folds does not wait for an updater that never ends, nor for the rest of a page of slow ones.
#
# Guards worker::break_off_folds, seen to fail with nothing in it, and the look at the definitions in should_leave_page, seen to fail
# without it.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use ReadModelCluster;

my $node = new_server('in_the_way', 'readmodel.rebuild_timeout = 10min');
make_shop($node, 'postgres');
append_orders($node, 'postgres', 200);
$node->safe_psql('postgres', q{
    CREATE FUNCTION public.endless(state jsonb, event jsonb) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE AS $$
    BEGIN PERFORM pg_sleep(600); RETURN '{}'; END $$;
    CREATE FUNCTION public.slow(state jsonb, event jsonb) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE AS $$
    BEGIN PERFORM pg_sleep(0.3); RETURN '{"slow": true}'; END $$;
});

sub define
{
    my ($name, $function) = @_;
    $node->safe_psql('postgres', "SELECT readmodel.define_query('$name', 'shop', 'public.$function(jsonb, jsonb)', key => 'stream')");
}

my $sleeps = q{EXISTS (SELECT FROM pg_stat_activity WHERE backend_type ~ '^pg_readmodel' AND wait_event = 'PgSleep')};

# Within a second or two, where the updater takes ten minutes and its page a minute.
sub soon
{
    my ($statement, $what) = @_;
    my ($code, $out, $err) = $node->psql('postgres', "SET client_min_messages = warning; SET statement_timeout = '15 s'; $statement");
    is($err, '', $what);
}

define('orders', 'order_placed');
wait_ready($node, 'postgres', 'another query of the same tail is ready');
define('endless', 'endless');
wait_until($node, 'postgres', $sleeps, 'a worker is in an updater that does not end');
soon(q{SELECT readmodel.drop_query('endless')}, 'its query is dropped all the same');
define('orders', 'endless');
wait_until($node, 'postgres', $sleeps, 'a worker is in an updater that does not end');
soon(q{SELECT readmodel.cancel_rebuild('orders')}, 'a rebuild is given up all the same');
wait_ready($node, 'postgres', 'the older generation is in force again');
append_orders($node, 'postgres', 10);
states_equal_oracle($node, 'postgres', '.. and goes on');

# A page of slow events is left when the definitions change.
define('slow', 'slow');
wait_until($node, 'postgres', $sleeps, 'a worker is in a slow updater');
soon(q{SELECT readmodel.pause('slow')}, 'a slow query is paused');
wait_until($node, 'postgres', "NOT $sleeps", '.. and soon nobody folds it');
is($node->safe_psql('postgres', q{SELECT readmodel.readiness('slow')}), 'paused', '.. which its status says');
my $position = $node->safe_psql('postgres', q{SELECT position FROM readmodel.status() WHERE name = 'slow'});
cmp_ok($position, '>', 0, '.. with what was done of the page kept');
cmp_ok($position, '<', 200, '.. in the middle of it');
wait_ready($node, 'postgres', 'the other query is ready');

$node->stop;
done_testing();
