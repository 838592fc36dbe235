# A position that is given by hand while a mark is being taken: either the mark waits for the writer, or the writer is refused.
#
# Guards the order of announce() and holders() in SettledPosition::take_mark, and of lock_sequence() and floor_of() in the trigger's
# find_floor(). Seen to fail with each of the two the other way round.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use ReadModelCluster;
use ReadModelFaults;

my $node = fault_server('guard', 'readmodel.poll_interval = 100');
$node->safe_psql('postgres',
    q{SELECT readmodel.drop_source('shop'); SELECT readmodel.create_source('shop', 'public.events', settle => 'guarded')});
append_orders($node, 'postgres', 50);
define_orders($node, 'postgres');
wait_ready($node, 'postgres', 'the query becomes ready');

my $order = q{('customer 1', 'OrderPlaced', '{"amount": 7}')};

sub at
{
    my ($position) = @_;
    return qq{INSERT INTO public.events (position, stream_id, type, data) OVERRIDING SYSTEM VALUE
        SELECT $position, * FROM (VALUES ('customer 1', 'OrderPlaced', jsonb '{"amount": 7}')) given};
}

sub leave_hole
{
    return $node->safe_psql('postgres', q{SELECT nextval('public.events_position_seq')});
}

# H is known to all before anybody is asked who holds the lock.
my $hole = leave_hole();
fault('within_mark', 'stop', 'tail', 2);
append_order($node, 'postgres', 'customer 2', 8);
wait_stopped('within_mark', 'tail', 'the tail has asked for H');
statement(q{SELECT faults.release('within_mark', 'any')});
wait_until($node, 'postgres',
    q{(SELECT remaining = 0 AND stopped IS NOT NULL FROM faults.list() WHERE point = 'within_mark' AND who = 'tail')},
    'and then for the holders');
my $late = $node->background_psql('postgres', on_error_stop => 0);
$late->query('BEGIN');
my ($output, $failed) = $late->query(at($hole));
ok($failed, 'who comes after the holders were collected is refused');
like($late->{stderr}, qr/is at or below the settled position/, 'and told why');
release('within_mark');
recovered('with a writer that came after the mark');
$late->query('COMMIT');
$late->quit;
recovered('once it has ended');

# The trigger has the lock before it looks how far others have come.
$hole = leave_hole();
fault('within_guard', 'stop', 'catch_up');
my $early = IPC::Run::start(
    [ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-v', 'VERBOSITY=sqlstate', '-c', at($hole) ],
    '>', \my $early_out, '2>', \my $early_err, IPC::Run::timeout(60));
wait_stopped('within_guard', 'catch_up', 'a writer stands between the lock and the floor');
append_order($node, 'postgres', 'customer 2', 9);
wait_until($node, 'postgres', "(SELECT pending_hole = $hole FROM readmodel.source_status())",
    'the tail waits for it');
release('within_guard');
$early->finish;
is($early_err =~ /RM011/ ? 'refused' : 'inserted', 'refused', 'it finds the mark that was announced meanwhile');
recovered('with a writer that came with the mark');

$node->stop;
done_testing();
