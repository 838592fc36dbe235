# H7: a query that is registered late replays from the start, and nothing is dropped: neither what was there, nor what is committed in
# the same moment, nor what was drawn before and is committed later.
#
# Guards Lane::cursor: a lane reads from where the last of its generations stands, and a new one stands at nothing. Seen to fail with
# the lane reading from where the first of them stands. (settled_first_event.spec holds that what lies before the first visible event
# is a hole like any other.)
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use ReadModelCluster;

my $node = new_server('late', 'readmodel.batch_size = 50', 'max_worker_processes = 12');
make_shop($node, 'postgres');
my $define = q{SELECT readmodel.define_query('%s', 'shop', 'public.order_placed(jsonb, jsonb)', key => 'stream')};

# --- everything from the start: the log is there before any query, and was settled long ago
append_orders($node, 'postgres', 500);
wait_until($node, 'postgres', 'settled_position = 500 FROM readmodel.source_status()', 'the log is settled without a query');
$node->safe_psql('postgres', sprintf($define, 'late'));
query_equals_oracle($node, 'postgres', 'late');
$node->safe_psql('postgres', q{SELECT readmodel.drop_query('late')});

# --- a log whose beginning is gone: what is left, from its start
$node->safe_psql('postgres', 'DELETE FROM public.events WHERE position <= 120');
$node->safe_psql('postgres', sprintf($define, 'later'));
query_equals_oracle($node, 'postgres', 'later');
$node->safe_psql('postgres', q{SELECT readmodel.drop_query('later')});

# --- events in the transaction that defines the query
$node->safe_psql('postgres', 'BEGIN;' . insert('own', 1) . sprintf($define, 'own') . ';' . insert('own', 2) . 'COMMIT');
query_equals_oracle($node, 'postgres', 'own');

sub insert
{
    my ($stream, $amount) = @_;
    return qq{INSERT INTO public.events (stream_id, type, data)
        VALUES ('$stream', 'OrderPlaced', jsonb_build_object('amount', $amount));};
}

# --- a moment's work: two writers and two definers let go at once, again and again. One writer has drawn its position before.
my $gate = $node->background_psql('postgres', on_error_die => 1);
my %session = map { $_ => $node->background_psql('postgres', on_error_die => 1) } qw(early writer definer other);
my $rounds = 15;
foreach my $round (1 .. $rounds)
{
    # With large pages the tail takes the new query up itself, where other queries stand at the end of the log already.
    $node->append_conf('postgresql.conf', 'readmodel.batch_size = ' . ($round % 2 ? 1000 : 50));
    $node->reload;
    $gate->query_safe('SELECT pg_advisory_lock(7)');
    $session{early}->query_safe('BEGIN;' . insert('early', $round));
    # Each waits for the gate; what is sent runs on without an answer being awaited.
    my $pass = 'SELECT pg_advisory_lock_shared(7), pg_advisory_unlock_shared(7);';
    my %task = (
        early => "$pass " . ($round % 4 ? 'COMMIT' : 'ROLLBACK'),
        writer => "$pass " . insert('writer', $round) x 3,
        definer => "$pass " . sprintf($define, "moment_$round"),
        other => "$pass " . sprintf($define, 'own'));
    my %handle = map { $_ => send_to($session{$_}, $task{$_}) } keys %task;
    wait_until($node, 'postgres', q{count(*) = 4 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted}, "round $round: four sessions wait")
      if $round == 1;
    $node->poll_query_until('postgres', q{SELECT count(*) = 4 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted});
    $gate->query_safe('SELECT pg_advisory_unlock(7)');
    answered($session{$_}, $handle{$_}) foreach keys %task;
    $node->safe_psql('postgres', sprintf(q{SELECT readmodel.drop_query('moment_%s')}, $round - 5)) if $round > 5;
}

# Without waiting, unlike query_safe; the echo tells when it is done.
sub send_to
{
    my ($to, $sql) = @_;
    my $done = 'done ' . ++$main::sent;
    $to->{stdin} .= "$sql\n;\\echo $done\n";
    $to->{run}->pump_nb;
    return $done;
}

sub answered
{
    my ($from, $done) = @_;
    local $SIG{ALRM} = sub { die "no answer: $from->{stderr}" };
    alarm 30;
    $from->{run}->pump until $from->{stdout} =~ /^\Q$done\E$/m;
    alarm 0;
    $from->{stdout} = '';
    return;
}

foreach my $name (split /\n/, $node->safe_psql('postgres', 'SELECT name FROM readmodel.status() ORDER BY name'))
{
    query_equals_oracle($node, 'postgres', $name);
}
cmp_ok($node->safe_psql('postgres', 'SELECT count(*) FROM public.events'), '>', 380 + 3 * $rounds, 'all events are there');

$_->quit foreach $gate, values %session;
$node->stop;
done_testing();
