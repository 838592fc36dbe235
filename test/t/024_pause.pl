# A paused query stays where it is, across restarts, until it is resumed; and is ready only once it has caught up then.
#
# Guards let_go() in TailWorker::assign(): without it a query that was paused for long is "ready" the moment it is resumed.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use ReadModelCluster;

my $node = new_server('pause', 'readmodel.batch_size = 100');
make_shop($node, 'postgres');
define_orders($node, 'postgres');
$node->safe_psql('postgres',
    q{SELECT readmodel.define_query('other', 'shop', 'public.order_placed(jsonb, jsonb)', key => 'stream')});
append_orders($node, 'postgres', 500);
wait_ready($node, 'postgres', 'the query is ready');
states_equal_oracle($node, 'postgres', 'with its states');
wait_until($node, 'postgres', q{readmodel.readiness('other') = 'ready'}, 'and so is the other one');

sub pause_orders
{
    $node->safe_psql('postgres', q{SELECT readmodel.pause('orders')});
    # A batch that is under way may still be finished; none is, and the lane lets go of it.
    wait_until($node, 'postgres', q{(SELECT worker_pid IS NULL FROM readmodel.status() WHERE name = 'orders')},
        'the worker lets go of a paused query');
}

sub position
{
    return $node->safe_psql('postgres', q{SELECT position FROM readmodel.status() WHERE name = 'orders'});
}

sub is_paused
{
    my ($position, $what) = @_;
    is(reason($node, 'postgres'), 'paused: operator: readmodel.resume() lets it go on', "$what: it is paused");
    is(position(), $position, "$what: it stands where it was paused");
    equal_up_to($node, 'postgres', 'orders', $position, "$what: so do its states");
}

# Whenever it says "ready" it has all events that were there when it was resumed.
sub resume_orders
{
    my ($what) = @_;
    my $head = $node->safe_psql('postgres', 'SELECT max(position) FROM public.events');
    my $session = $node->background_psql('postgres');
    $session->query_safe(q{SET client_min_messages = warning; SELECT readmodel.resume('orders')});
    my ($status, $reached, $early) = ('', 0, 0);
    for (my $look = 0; $status ne 'ready' && $look < 20_000; $look++)
    {
        ($status, $reached) = split /\|/,
          $session->query_safe(q{SELECT status, position FROM readmodel.status() WHERE name = 'orders'});
        $early++ if $status eq 'ready' && $reached < $head;
    }
    $session->quit;
    is($status, 'ready', "$what: it becomes ready");
    is($early, 0, "$what: not before it has caught up");
    states_equal_oracle($node, 'postgres', "$what: its states are right");
}

pause_orders();
append_orders($node, 'postgres', 600);
my $head = $node->safe_psql('postgres', 'SELECT max(position) FROM public.events');
$node->safe_psql('postgres', "SELECT readmodel.wait_for('other', $head, '20 s')");
is_paused(500, 'while another query goes on');
is($node->safe_psql('postgres', 'SELECT readmodel.ready()'), 'f', 'a paused query is not ready');

for my $read (q{SELECT readmodel.get('orders', 'customer 1')}, q{SELECT readmodel.wait_for('orders', 501, '20 s')},
    q{CALL readmodel.catch_up('orders')})
{
    my ($status, undef, $error) = $node->psql('postgres', "\\set VERBOSITY sqlstate\n$read");
    like($error, qr/RM003/, "refused with RM003: $read");
}
is($node->safe_psql('postgres', q{SELECT readmodel.wait_for('orders', 500, '20 s')}),
    500, 'what it has reached need not be waited for');

$node->restart;
wait_until($node, 'postgres', q{readmodel.readiness('other') = 'ready'}, 'the other query is back after a restart');
is_paused(500, 'after a restart');
resume_orders('after a restart');

pause_orders();
append_orders($node, 'postgres', 5000);    # more than the tail would fold: a lane of its own
resume_orders('far behind');

# In mid-rebuild.
$node->safe_psql('postgres', q{
    ALTER SYSTEM SET readmodel.rebuild_rate_limit = 250;
    ALTER SYSTEM SET readmodel.flush_interval = '50 ms'});
$node->reload;
$node->safe_psql('postgres', q{SELECT readmodel.rebuild('orders')});
wait_until($node, 'postgres', q{(SELECT position > 500 FROM readmodel.status() WHERE name = 'orders')}, 'a rebuild runs');
pause_orders();
my $paused_at = position();
is(reason($node, 'postgres'), 'paused: operator: readmodel.resume() lets it go on', 'a rebuild can be paused');
cmp_ok($paused_at, '<', 6100, 'before its end');
equal_up_to($node, 'postgres', 'orders', 6100, 'the serving generation goes no further than the events');
$node->safe_psql('postgres', q{
    ALTER SYSTEM RESET readmodel.rebuild_rate_limit;
    ALTER SYSTEM RESET readmodel.flush_interval});
$node->reload;
resume_orders('a rebuild');
applied_once($node, 'postgres', 'and has counted every event once');

$node->safe_psql('postgres', q{SELECT readmodel.pause('orders'); SELECT readmodel.drop_query('orders')});
is($node->safe_psql('postgres', q{SELECT count(*) FROM readmodel.status() WHERE name = 'orders'}),
    0, 'a paused query can be dropped');

$node->stop;
done_testing();
