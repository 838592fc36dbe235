# A rebuild that is split is killed where one of its lanes finishes: before, within and after the transaction that does it, and where
# the last of them makes the shares one checkpoint. It is split up to what is settled, no more and not much less, and its shares can be
# set back. No event is lost, none counts twice, and no share stays behind.
#
# Guards that a share is finished in the transaction that has moved it (RebuildWorker::flush), that a lane that begins again finds
# what is left (RebuildWorker::load, TailWorker::assign_shares), where it is split (TailWorker::split), and the compare-and-set of a
# share (move_share). Seen to fail with a share that finishes without its last flush; with the shares merged by the first lane that
# comes to its end; with two lanes that finish at once and do not wait for each other; with a generation handed over by every lane; with
# a share moved whatever its position; with lanes that begin at nothing, or take the states for empty, whatever their share's position;
# with a split up to the last number drawn; with one up to whatever was settled last.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use ReadModelCluster;
use ReadModelFaults;

# Each lane flushes once, at its end. A tail without queries settles at first, and not again for long.
my $node = fault_server('split_rebuild', q{readmodel.poll_interval = '1h'}, 'readmodel.batch_size = 100', q{readmodel.flush_interval = '1h'},
    'readmodel.max_rebuild_workers = 2');
wait_until($node, 'postgres', '(SELECT settled_position IS NOT NULL FROM readmodel.source_status())', 'the source is settled, without an event');
append_orders($node, 'postgres', 1000);

sub define_split
{
    $node->safe_psql('postgres', q{
        SELECT readmodel.define_query('orders', 'shop', 'public.order_placed(jsonb, jsonb)', key => 'stream', options => '{"parallel": 2}')});
    return;
}

sub all_is_well
{
    my ($what) = @_;
    wait_until($node, 'postgres', q{readmodel.readiness('orders') = 'ready'}, "$what: it becomes ready");
    states_equal_oracle($node, 'postgres', "$what: with the right states");
    applied_once($node, 'postgres', "$what: each event was applied once");
    is($node->safe_psql('postgres', 'SELECT count(*) FROM readmodel_catalog.share'), 0, "$what: no share is left");
    $node->safe_psql('postgres', q{SELECT readmodel.drop_query('orders')});
    return;
}

# The query is defined, and both lanes stand before their second flush.
sub flushed_once
{
    my $lanes_there = q{(SELECT count(*) = 2 FROM pg_stat_activity WHERE wait_event = 'readmodel_fault_before_checkpoint')};
    fault('before_checkpoint', 'stop', 'rebuild', 0);
    define_split();
    wait_until($node, 'postgres', $lanes_there, 'both lanes are about to flush');
    release('before_checkpoint');
    wait_until($node, 'postgres', "$lanes_there AND (SELECT count(position) = 2 FROM readmodel_catalog.share)", 'both have flushed once');
    return;
}

my $split = 'SELECT count(*), min(up_to), max(up_to) FROM readmodel_catalog.share';

# It is split up to what is settled now, or one lane would do nearly all of it later.
fault('before_read', 'stop', 'rebuild', 0);
define_split();
wait_stopped('before_read', 'rebuild', 'it is split');
like($node->safe_psql('postgres', $split), qr/^2\|(9\d\d|1000)\|/, 'up to nearly all of the events that there were');
disarm();
release('before_read');
all_is_well('a split at what is settled now');
settings('readmodel.poll_interval = 100');

# A writer stays open: the lanes end before his event.
my $writer = $node->background_psql('postgres');
$writer->query_safe('BEGIN');
my $open = $writer->query_safe(q{INSERT INTO public.events (stream_id, type, data) VALUES ('customer 1', 'OrderPlaced', '{"amount": 1}') RETURNING position});
append_orders($node, 'postgres', 500);
fault('before_read', 'stop', 'rebuild', 0);
define_split();
wait_stopped('before_read', 'rebuild', 'it is split before the event of an open writer');
is($node->safe_psql('postgres', $split), join('|', 2, ($open - 1) x 2), 'up to what is settled');
disarm();
release('before_read');
wait_until($node, 'postgres', 'NOT EXISTS (SELECT FROM readmodel_catalog.share)', 'the lanes need not wait for him');
$writer->query_safe('COMMIT');
$writer->quit;
all_is_well('a writer was open');

# Somebody sets both shares back while their lanes stand before their second flush. Each lane begins again where its share stands.
settings('readmodel.flush_interval = 10', 'readmodel.rebuild_rate_limit = 5000');    # so that they flush long before the end
flushed_once();
$node->safe_psql('postgres', sprintf(q{
    UPDATE readmodel_catalog.share SET position = NULL, events_applied = 0, instances = 0;
    DELETE FROM %s}, newest_states('orders')));
disarm();
release('before_checkpoint');
all_is_well('both shares were set back');

# Both lanes go on from their first flush.
my $before_crash = launcher_pid();
flushed_once();
fault('after_checkpoint', 'kill', 'rebuild');
release('before_checkpoint');
wait_crash($before_crash, 'a lane was killed on its way: the server comes back');
all_is_well('a lane was killed on its way');
settings(q{readmodel.flush_interval = '1h'}, 'readmodel.rebuild_rate_limit = 0');

foreach my $point (qw(before_checkpoint after_checkpoint before_commit after_commit before_publish before_hand_over))
{
    my $launcher = launcher_pid();
    fault($point, 'kill', 'rebuild');
    define_split();
    wait_crash($launcher, "killed at $point: the server comes back");
    append_orders($node, 'postgres', 10);
    all_is_well("a lane was killed at $point");
}

# The first stands before its commit, and the other waits for it; then that one is killed there.
my $launcher = launcher_pid();
fault('before_commit', 'stop', 'rebuild');
define_split();
wait_stopped('before_commit', 'rebuild', 'the first lane is about to finish');
fault('before_commit', 'kill', 'rebuild');
release('before_commit');
wait_crash($launcher, 'the last lane was killed: the server comes back');
all_is_well('the last lane was killed before its commit');

# It is dropped under a lane that is about to finish.
fault('before_flush', 'stop', 'rebuild', 0);
define_split();
wait_stopped('before_flush', 'rebuild', 'a lane has come to its end');
$node->safe_psql('postgres', q{SELECT readmodel.drop_query('orders')});
disarm();
release('before_flush');
wait_until($node, 'postgres', q{NOT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'pg_readmodel rebuild')},
    'the lanes of a query that was dropped end');
define_split();
all_is_well('after all that');

$node->stop;
done_testing();
