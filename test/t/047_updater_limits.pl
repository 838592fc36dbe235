# An updater that recurses, eats memory or does not end is an updater's error of one event; a rebuild fails when it makes no progress,
# and never for being long, or for waiting.
# Seen to fail with: a watch that is not fed by each event; limits of the settings in place of the query's own; out of memory as transient;
# no look at the watch after a call; a watch that leaves its FATAL to what comes after the call.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);
use ReadModelCluster;

my $node = new_server('limits', 'readmodel.batch_size = 20', 'readmodel.flush_interval = 50',
    'readmodel.max_rebuild_workers = 1', 'max_stack_depth = 200kB');
make_shop($node, 'postgres');

# A function that nothing interrupts.
my $directory = PostgreSQL::Test::Utils::tempdir;
append_to_file("$directory/busy.c", q{
#include "postgres.h"
#include "fmgr.h"
#include "utils/timestamp.h"
PG_MODULE_MAGIC;
PG_FUNCTION_INFO_V1(busy);
Datum
busy(PG_FUNCTION_ARGS)
{
    TimestampTz end = GetCurrentTimestamp() + (int64) PG_GETARG_INT32(0) * 1000;
    while (GetCurrentTimestamp() < end)
        ;
    PG_RETURN_VOID();
}
});
chomp(my $headers = `pg_config --includedir-server`);
system_or_bail('gcc', '-shared', '-fPIC', '-I', $headers, '-o', "$directory/busy.so", "$directory/busy.c");
chmod 0755, $directory;
$node->safe_psql('postgres', "CREATE FUNCTION public.busy(milliseconds int) RETURNS void LANGUAGE c STRICT AS '$directory/busy', 'busy'");
$node->safe_psql('postgres', q{
    CREATE FUNCTION public.recurse(n int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN public.recurse(n + 1) + 1; END $$;
    CREATE FUNCTION public.hungry(state jsonb, event jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
    DECLARE
        does text := event #>> '{data,does}';
        eaten text;
    BEGIN
        CASE does
            WHEN 'recurse' THEN PERFORM public.recurse(1);
            WHEN 'eat' THEN eaten := repeat('xx', 600000000);
            WHEN 'oom' THEN RAISE EXCEPTION 'out of memory' USING ERRCODE = '53200';
            WHEN 'endless' THEN LOOP END LOOP;
            WHEN 'sleep' THEN PERFORM pg_sleep(600);
            WHEN 'busy' THEN PERFORM public.busy(2000);
            WHEN 'swallow' THEN BEGIN PERFORM pg_sleep(600); EXCEPTION WHEN query_canceled THEN NULL; END;
            ELSE NULL;
        END CASE;
        RETURN public.order_placed(state, event);
    END $$});
define_orders($node, 'postgres');
append_orders($node, 'postgres', 10);
my %define = map {
    $_ => qq{SELECT readmodel.define_query('$_', 'shop', 'public.hungry(jsonb, jsonb)', key => 'stream',
        options => '{"on_error": "$_", "updater_timeout": "300 ms"}')}
} 'skip', 'fail';
$node->safe_psql('postgres', "$define{skip}; $define{fail}");
wait_until($node, 'postgres', 'readmodel.ready()', 'all are ready');

foreach my $case ([ 'recurse', '54001' ], [ 'eat', '54000' ], [ 'oom', '53200' ], [ 'endless', '57014' ], [ 'sleep', '57014' ], [ 'swallow', '57014' ], [ 'busy', '57014' ])
{
    my ($does, $sqlstate) = @$case;
    my $position = $node->safe_psql('postgres', qq{
        INSERT INTO public.events (stream_id, type, data) VALUES ('customer 1', 'OrderPlaced', '{"amount": 1, "does": "$does"}')
        RETURNING position});
    append_orders($node, 'postgres', 5);
    my $head = $node->safe_psql('postgres', 'SELECT max(position) FROM public.events');
    $node->safe_psql('postgres', "SELECT readmodel.wait_for('orders', $head), readmodel.wait_for('skip', $head)");
    like($node->safe_psql('postgres', "SELECT sqlstate FROM readmodel.dead_letters('skip') WHERE position = $position"),
        qr/^$sqlstate$/, "$does: a dead letter of the query that skips");
    wait_until($node, 'postgres', q{readmodel.readiness('fail') = 'failed'}, "$does: the other one has failed");
    like($node->safe_psql('postgres', q{SELECT error_position, error_sqlstate FROM readmodel.status() WHERE name = 'fail'}),
        qr/^$position\|$sqlstate$/, "$does: at that event");
    # As an operator would, who wants to go on without that event.
    (my $skips = $define{fail}) =~ s/"on_error": "fail"/"on_error": "skip"/;
    $node->safe_psql('postgres', "$skips; SELECT readmodel.retry('fail')");
    $node->safe_psql('postgres', "SELECT readmodel.wait_for('fail', $head); $define{fail}");
}
is($node->safe_psql('postgres', q{
    SELECT count(*), sum((state ->> 'orders')::int) = (SELECT count(*) FROM public.events WHERE NOT data ? 'does')
    FROM readmodel.fail}), $node->safe_psql('postgres', q{SELECT count(*), 't' FROM readmodel.skip}), 'both have all the others');

# --- a long rebuild is healthy: 120 events at 25 ms each, with a limit of 500 ms
$node->safe_psql('postgres', q{
    CREATE FUNCTION public.slow(state jsonb, event jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
    BEGIN PERFORM pg_sleep(0.025); RETURN public.order_placed(state, event); END $$});
append_orders($node, 'postgres', 100);
wait_until($node, 'postgres', q{(SELECT bool_and(lag = 0) FROM readmodel.status())}, 'the others are done');

# All in one session: what is looked at lasts three seconds.
my $session = $node->background_psql('postgres');

sub wait_in_session
{
    my ($condition, $what) = @_;
    my $until = time + $PostgreSQL::Test::Utils::timeout_default;
    my $met;
    while (($met = $session->query_safe("SELECT $condition")) ne 't' && time < $until)
    {
        usleep(20_000);
    }
    return is($met, 't', $what);
}

sub define_slow
{
    my ($query) = @_;
    $session->query_safe(qq{
        SELECT readmodel.define_query('$query', 'shop', 'public.slow(jsonb, jsonb)', key => 'stream',
            options => '{"rebuild_timeout": "500 ms", "on_error": "skip"}')});
}
define_slow('slow');
wait_in_session(q{(SELECT worker_pid IS NOT NULL AND events_applied > 0 FROM readmodel.status() WHERE name = 'slow')}, 'a slow rebuild has begun');
define_slow('waits');    # for the only slot, longer than its limit
like($session->query_safe(q{SELECT status || ' ' || reason FROM readmodel.status() WHERE name = 'waits'}),
    qr/^rebuilding queued/, 'another one waits for its slot');
my $states = $session->query_safe(q{SELECT readmodel.state_table('waits')});
wait_in_session(q{readmodel.ready(ARRAY['slow'])}, 'a rebuild that takes longer than its limit becomes ready');

# .. and for a lock, longer than its limit
wait_in_session(q{(SELECT events_applied > 0 FROM readmodel.status() WHERE name = 'waits')}, 'the one that waited has begun');
$session->query_safe("BEGIN; LOCK TABLE $states");
wait_until($node, 'postgres', q{(SELECT reason LIKE 'lock%' FROM readmodel.status() WHERE name = 'waits')}, 'its table is locked');
$session->query_safe('SELECT pg_sleep(1.2)');    # what is tested is that time passes
is($node->safe_psql('postgres', q{SELECT readmodel.readiness('waits')}), 'stalled', 'which does not make it fail');
$session->query_safe('COMMIT');
wait_until($node, 'postgres', q{readmodel.ready(ARRAY['waits'])}, 'it becomes ready, too');
is($node->safe_psql('postgres', q{SELECT count(*) FROM readmodel.dead_letters('waits')}), 0, 'and has passed over nothing');

# --- one that makes no progress fails, with whatever on_error says, and leaves the slot to others
$node->safe_psql('postgres', q{
    SELECT readmodel.define_query('stuck', 'shop', 'public.hungry(jsonb, jsonb)', key => 'stream',
        options => '{"rebuild_timeout": "500 ms", "on_error": "skip"}')});
my $endless = $node->safe_psql('postgres', q{SELECT min(position) FROM public.events WHERE data ->> 'does' = 'endless'});
wait_until($node, 'postgres', q{readmodel.readiness('stuck') = 'failed'}, 'a rebuild without progress fails');
is($node->safe_psql('postgres', q{SELECT reason, error_message FROM readmodel.status() WHERE name = 'stuck'}),
    "timeout: SQLSTATE 57014 at position $endless|the updater ran longer than the option rebuild_timeout (500 ms) for one event",
    'and says so');
define_slow('after');
wait_until($node, 'postgres', q{readmodel.ready(ARRAY['after', 'orders', 'skip'])}, 'others go on');

$session->quit;
$node->stop;
done_testing();
