# H2: concurrent writes never move a position back. 100 connections append to one instance at once, while sessions and workers apply
# the same events side by side; whoever looks sees the checkpoint, the state's position and status().position only rise. What tries
# to write an older position is refused.
#
# Guards the compare-and-set of query::move_checkpoint, "WHERE stored.position < EXCLUDED.position" of StateStore, and
# settled.settle_up_to() in Lane::fold_settled. Seen to fail
# without the first one's condition on the position (the trigger on the checkpoint refuses what a stale session writes), without the
# second one (the state is overwritten), and without the third (the query fails: what catch_up was faster with looks like a hole).
use strict;
use warnings;
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;
use ReadModelCluster;

my $connections = 100;
my $each = 5;
my $node = new_server('concurrent', 'max_connections = 150', 'readmodel.batch_size = 20');
make_shop($node, 'postgres');
append_order($node, 'postgres', 'the only one', 0);
define_orders($node, 'postgres');
wait_ready($node, 'postgres', 'the query becomes ready');

my $states = $node->safe_psql('postgres', q{SELECT readmodel.state_table('orders')});
$node->safe_psql('postgres', qq{
    CREATE TABLE public.seen (at bigint GENERATED ALWAYS AS IDENTITY, shown bigint, stored bigint, state bigint, events bigint);
    CREATE TABLE public.ended (yes boolean);
    -- One look under one snapshot each, until told to stop.
    CREATE PROCEDURE public.watch() LANGUAGE plpgsql AS \$\$
    BEGIN
        LOOP
            INSERT INTO public.seen (shown, stored, state, events)
            SELECT (SELECT position FROM readmodel.status() WHERE name = 'orders'),
                   (SELECT position FROM readmodel_catalog.checkpoint),
                   (SELECT position FROM $states),
                   (SELECT jsonb_array_length(state -> 'positions') FROM $states);
            COMMIT;
            EXIT WHEN EXISTS (SELECT FROM public.ended);
        END LOOP;
    END \$\$});

# Whoever appends waits for a lock that is held until all have come.
my $barrier = $node->background_psql('postgres', on_error_die => 1);
$barrier->query_safe('SELECT pg_advisory_lock(1)');
my $script = $node->basedir . '/append.pgbench';
append_to_file($script, q{SELECT pg_advisory_lock_shared(1);
INSERT INTO public.events (stream_id, type, data) VALUES ('the only one', 'OrderPlaced', '{"amount": 1}');
SELECT pg_advisory_unlock_shared(1);
});

my @runs;
sub start
{
    my ($what, @command) = @_;
    my %run = (what => $what, out => '');
    $run{handle} = IPC::Run::start(\@command, '<', \undef, '>&', \$run{out});
    push @runs, \%run;
    return;
}

my @to = ('-h', $node->host, '-p', $node->port);
start('the watcher', $node->installed_command('psql'), '-X', '-v', 'ON_ERROR_STOP=1', @to, '-d', 'postgres', '-c', 'CALL public.watch()');
start('pgbench', $node->installed_command('pgbench'), '-n', @to, '-c', $connections, '-j', 2, '-t', $each, '-f', $script, 'postgres');
wait_until($node, 'postgres', "count(*) = $connections FROM pg_locks WHERE locktype = 'advisory' AND NOT granted", "$connections writers wait for each other");
my $applier = $node->basedir . '/catch_up.sql';
append_to_file($applier, "CALL readmodel.catch_up('orders');\n" x 100);
start("catch_up $_", $node->installed_command('psql'), '-X', '-v', 'ON_ERROR_STOP=1', @to, '-d', 'postgres', '-f', $applier)
  foreach 1 .. 3;
$barrier->query_safe('SELECT pg_advisory_unlock(1)');
foreach my $run (@runs[1 .. $#runs])
{
    ok($run->{handle}->finish, "$run->{what} ends without an error") or diag($run->{out});
}
my $events = $connections * $each + 1;
states_equal_oracle($node, 'postgres', 'the state is the oracle\'s');
applied_once($node, 'postgres', 'each event was applied once');
is($node->safe_psql('postgres', "SELECT jsonb_array_length(state -> 'positions') FROM $states"), $events, 'all of them');
is($node->safe_psql('postgres', 'SELECT position FROM readmodel_catalog.checkpoint'),
    $node->safe_psql('postgres', 'SELECT max(position) FROM public.events'), 'and the checkpoint is at the last one');

$node->safe_psql('postgres', 'INSERT INTO public.ended VALUES (true)');
ok($runs[0]->{handle}->finish, 'the watcher saw the end') or diag($runs[0]->{out});
is($node->safe_psql('postgres', q{
    SELECT count(*) > 10, count(*) FILTER (WHERE shown < last_shown), count(*) FILTER (WHERE stored < last_stored),
           count(*) FILTER (WHERE state < last_state), count(*) FILTER (WHERE events < last_events),
           count(*) FILTER (WHERE state IS DISTINCT FROM stored)
    FROM (SELECT *, lag(shown) OVER in_order AS last_shown, lag(stored) OVER in_order AS last_stored,
                 lag(state) OVER in_order AS last_state, lag(events) OVER in_order AS last_events
          FROM public.seen WINDOW in_order AS (ORDER BY at)) s}),
    't|0|0|0|0|0', 'no position was ever seen to move back, and state and checkpoint were always one');

is($node->safe_psql('postgres', q{SELECT readmodel.readiness('orders')}), 'ready', 'nobody took the events of another for late ones');

# --- an older position is refused
my (undef, undef, $error) = $node->psql('postgres', 'UPDATE readmodel_catalog.checkpoint SET position = position - 1');
like($error, qr/a checkpoint cannot be set back/, 'a checkpoint is not set back');

# A state that gets ahead of the checkpoint: the worker has read it by then, so that comes with the checkpoint's move, which is the
# first thing that it writes. The older position must not be written over the newer one.
my $position = $node->safe_psql('postgres', 'SELECT max(position) FROM public.events');
$node->safe_psql('postgres', qq{
    CREATE FUNCTION public.get_ahead() RETURNS trigger LANGUAGE plpgsql AS \$\$
    BEGIN
        UPDATE $states SET position = $position + 1000;
        RETURN NULL;
    END \$\$;
    CREATE TRIGGER get_ahead AFTER UPDATE ON readmodel_catalog.checkpoint FOR EACH ROW EXECUTE FUNCTION public.get_ahead()});
append_order($node, 'postgres', 'the only one', 1);
wait_until($node, 'postgres', q{readmodel.readiness('orders') = 'failed'}, 'a state that got ahead makes the query failed');
is($node->safe_psql('postgres', "SELECT position FROM $states"), $position, 'and nothing is written');
like($node->safe_psql('postgres', 'SELECT error_message FROM readmodel.status()'), qr/were not all written/, 'the error says so');

$barrier->quit;
$node->stop;
done_testing();
