# H3: an error before, within and after the transaction with which a rebuild writes, and at every other point of its work, is
# tried again; no event is lost, none counts twice, and the status is true on the way.
#
# Guards the reload after an error in RebuildWorker::run. Seen to fail with the lane kept as it was.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use ReadModelCluster;
use ReadModelFaults;

# A flush after every page.
my $node = fault_server('errors_rebuild', 'readmodel.poll_interval = 100', 'readmodel.batch_size = 100',
    'readmodel.flush_interval = 10');
append_orders($node, 'postgres', 500);

# A transient error everywhere, another one around the write.
my @written = qw(before_checkpoint after_checkpoint before_commit after_commit);
foreach my $fault ((map { "40001 $_" } qw(before_read before_lock before_snapshot after_snapshot before_flush), @written,
    qw(before_publish before_hand_over)), map { "XX000 $_" } @written)
{
    my ($sqlstate, $point) = split / /, $fault;
    rebuild_begun($fault);
    fault($point, 'error', 'rebuild', 1, $sqlstate);
    release('before_read');
    wait_fault_used($point, 'rebuild', "$fault: it came by");
    recovered($fault);
    $node->safe_psql('postgres', q{SELECT readmodel.drop_query('orders')});
}

$node->stop;
done_testing();
