# Who drops or gives up what a worker folds does not wait for an updater that never ends, nor for the rest of a page of slow ones.
#
# Guards worker::break_off_folds, seen to fail with nothing in it, the look at the definitions in should_leave_page, seen to fail
# without it, worker::announce_stop, seen to fail where it took no more than eight generations, and pg::ProgressWatch, seen to fail
# where it only cancels.
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
define('other', 'order_placed');
wait_until($node, 'postgres', q{position BETWEEN 1 AND 150 FROM readmodel.status() WHERE name = 'slow'}, 'what was done of the page is kept');
soon(q{SELECT readmodel.pause('slow')}, 'a slow query is paused');
wait_until($node, 'postgres', "NOT $sleeps", '.. and soon nobody folds it');
is($node->safe_psql('postgres', q{SELECT readmodel.readiness('slow')}), 'paused', '.. which its status says');
my $position;
wait_ready($node, 'postgres', 'the other query is ready');

# An endless call in the tail keeps up all that the tail moves, and their status says so; a pause ends it, and so does a limit.
$node->safe_psql('postgres', q{
    SET client_min_messages = warning;
    SELECT readmodel.drop_query('slow');
    CREATE FUNCTION public.stuck(state jsonb, event jsonb) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE AS $$
    BEGIN IF event #>> '{data,amount}' = '7777' THEN PERFORM pg_sleep(600); END IF; RETURN '{}'; END $$;
});
define('stuck', 'stuck');
wait_until($node, 'postgres', 'readmodel.ready()', 'both are ready');
$position = $node->safe_psql('postgres', q{INSERT INTO public.events (stream_id, type, data)
    VALUES ('customer 1', 'OrderPlaced', '{"amount": 7777}') RETURNING position});
wait_until($node, 'postgres', qq{status = 'stalled' AND reason ~ '^updater: at the event at position $position for [0-9]+ s\$'
    FROM readmodel.status() WHERE name = 'stuck'}, 'a query in an endless call is stalled, and says where');
is($node->safe_psql('postgres', q{SELECT status, reason ~ '^updater: pid [0-9]+ is at one event of another query for [0-9]+ s$'
    FROM readmodel.status() WHERE name = 'orders'}), 'stalled|t', '.. and so is what waits behind it');
soon(q{SELECT readmodel.pause('stuck')}, 'it is paused');
wait_ready($node, 'postgres', '.. and the other one goes on');
$node->safe_psql('postgres', q{SET client_min_messages = warning; SELECT readmodel.resume('stuck')});
wait_until($node, 'postgres', $sleeps, 'resumed, it is at the same event');
$node->safe_psql('postgres', q{SELECT readmodel.define_query('stuck', 'shop', 'public.stuck(jsonb, jsonb)', key => 'stream',
    options => '{"updater_timeout": "100 ms"}')});
wait_until($node, 'postgres', qq{status = 'failed' AND error_position = $position FROM readmodel.status() WHERE name = 'stuck'},
    'a limit that is set then ends the call that is under way');
wait_ready($node, 'postgres', '.. and the other one goes on again');

# One that swallows whatever cancels it ends with its worker: three times, and then its query has failed.
$node->safe_psql('postgres', q{
    CREATE FUNCTION public.stubborn(state jsonb, event jsonb) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE AS $$
    BEGIN
        WHILE event #>> '{data,amount}' = '8888' LOOP
            BEGIN PERFORM pg_sleep(600); EXCEPTION WHEN query_canceled THEN NULL; END;
        END LOOP;
        RETURN '{}';
    END $$;
    SELECT readmodel.define_query('stubborn', 'shop', 'public.stubborn(jsonb, jsonb)', key => 'stream', options => '{"updater_timeout": "100 ms"}')});
wait_until($node, 'postgres', q{readmodel.ready('{orders,stubborn}')}, 'an updater that swallows cancels is defined');
$position = $node->safe_psql('postgres', q{INSERT INTO public.events (stream_id, type, data)
    VALUES ('customer 1', 'OrderPlaced', '{"amount": 8888}') RETURNING position});
wait_until($node, 'postgres', qq{status = 'failed' AND error_position = $position AND error_sqlstate = '58000'
    FROM readmodel.status() WHERE name = 'stubborn'}, 'its query fails');
wait_until($node, 'postgres', q{readmodel.ready('{orders}')}, '.. and the other one goes on');
soon(q{SELECT readmodel.drop_query('stubborn')}, 'it is dropped');

# Whichever generation it is: those that are kept are folded as well, and any of them may be in the way.
sub kept
{
    my ($version, $function) = @_;
    return $node->safe_psql('postgres', qq{SELECT readmodel.define_query('kept', 'shop', 'public.$function(jsonb, jsonb)', key => 'stream',
        options => '{"version": "$version", "keep_generations": 20}')});
}
foreach (1 .. 10)
{
    my $generation = kept($_, 'order_placed');
    wait_until($node, 'postgres', "(SELECT status = 'ready' AND generation = $generation FROM readmodel.status() WHERE name = 'kept')",
        "generation $generation is ready");
}
kept(11, 'endless');
wait_until($node, 'postgres', $sleeps, 'the last of many generations is in an endless call');
soon(q{SELECT readmodel.pause('kept')}, 'the query is paused');
wait_until($node, 'postgres', "NOT $sleeps", '.. and nobody folds it any more');

$node->stop;
done_testing();
