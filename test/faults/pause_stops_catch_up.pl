# A session that catches up stops at a pause, as workers do: what it has stored stays, and no more comes.
#
# Guards refuse_if_paused() in CatchUp::batch and CatchUp::take_over. Seen to fail without it in the former.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use ReadModelCluster;
use ReadModelFaults;

my $node = fault_server('pause_catch_up', 'readmodel.enabled = off', 'readmodel.batch_size = 20');
append_orders($node, 'postgres', 100);
define_orders($node, 'postgres');

# It stands at its third page of five, or at the takeover, when the query is paused.
foreach my $stop ([ 'before_read', 3 ], [ 'before_takeover', 1 ])
{
    my ($point, $times) = @$stop;
    fault($point, 'stop', 'catch_up', $times);
    my $session = IPC::Run::start(
        [ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-v', 'VERBOSITY=sqlstate', '-c', q{CALL readmodel.catch_up('orders')} ],
        '>', \my $output, '2>', \my $error, IPC::Run::timeout(60));
    foreach my $left (reverse 0 .. $times - 1)
    {
        wait_until($node, 'postgres',
            "EXISTS (SELECT FROM faults.list() WHERE point = '$point' AND remaining = $left AND stopped IS NOT NULL)",
            "it stands at $point, $left more to come");
        $node->safe_psql('postgres', q{SELECT readmodel.pause('orders')}) if $left == 0;
        release($point);
    }
    $session->finish;
    like($error, qr/RM003/, "$point: it ends when it sees the pause");
    equal_up_to($node, 'postgres', 'orders', $point eq 'before_read' ? 40 : 100, "$point: what was stored stays");
    is($node->safe_psql('postgres', q{SELECT phase FROM readmodel_catalog.generation}), 'rebuilding', "$point: no takeover");
    $node->safe_psql('postgres', q{SELECT readmodel.resume('orders')});
}
$node->safe_psql('postgres', q{CALL readmodel.catch_up('orders')});
applied_once($node, 'postgres', 'each event was applied once');

$node->stop;
done_testing();
