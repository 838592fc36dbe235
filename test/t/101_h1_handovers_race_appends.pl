# H1: replay races live appends at the boundary. Rebuild lanes hand over to the tail again and again while appends, some of which are
# rolled back, go on. The pages are small, so each rebuild reads the settled position many times and hands over within a few events of
# where writers are at work. Every state and checkpoint is the oracle's at the end.
#
# Guards the handover: that a rebuild reads no further than the published settled position (Lane::fold_up_to), and that a generation
# takes what comes after its own checkpoint, wherever the tail's lane stands (the cursor in Fold::select). Seen to fail without the bound in the
# former (a state lacks what was committed below it later) and without the comparison in the latter (events come twice).
use strict;
use warnings;
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;
use ReadModelCluster;

my $node = new_server('handovers', 'readmodel.batch_size = 5', 'readmodel.max_rebuild_workers = 3', 'max_worker_processes = 12',
    'log_min_messages = debug1');
make_shop($node, 'postgres');
append_orders($node, 'postgres', 300);

# Transactions of several statements, so that positions are committed out of order and every fifth leaves holes.
my $script = $node->basedir . '/append.pgbench';
append_to_file($script, q{
\set customer random(1, 10)
\set fate random(1, 5)
BEGIN;
INSERT INTO public.events (stream_id, type, data) VALUES ('customer ' || :customer, 'OrderPlaced', jsonb_build_object('amount', :customer));
\sleep 5 ms
INSERT INTO public.events (stream_id, type, data) VALUES ('customer ' || :customer + 1, 'OrderPlaced', jsonb_build_object('amount', 1));
\if :fate = 1
ROLLBACK;
\else
COMMIT;
\endif
});
my $output = '';
# Servers under a checker are slow, and then have more time: the tail is to keep up.
my $rate = int(150 * 180 / $PostgreSQL::Test::Utils::timeout_default);
my $appends = IPC::Run::start([ $node->installed_command('pgbench'), '-n', '-h', $node->host, '-p', $node->port, '-c', 4, '-R', $rate,
    '-T', 600, '-f', $script, 'postgres' ], '<', \undef, '>&', \$output);

# Three of them at once share a lane now and then. Some go again, so that what follows is not slowed down by what is there.
my $rounds = 8;
foreach my $round (1 .. $rounds)
{
    my @names = map { "query_${round}_$_" } 1 .. 1 + $round % 3;
    $node->safe_psql('postgres', join ';',
        map { "SELECT readmodel.define_query('$_', 'shop', 'public.order_placed(jsonb, jsonb)', key => 'stream')" } @names);
    my $list = join ',', @names;
    wait_until($node, 'postgres', "readmodel.ready('{$list}')", "round $round: all are ready while appends go on");
    $node->safe_psql('postgres', "SELECT readmodel.drop_query('$names[0]')") if @names > 1;
    $node->safe_psql('postgres', "SELECT readmodel.rebuild('$names[-1]')") if $round % 2;
}
$appends->signal('TERM');    # SIGINT is ignored by what was started in the background
$appends->finish;

my $rebuilds = () = slurp_file($node->logfile) =~ /starting background worker process "[^"]*rebuild/g;
cmp_ok($rebuilds, '>=', $rounds, "rebuild workers were at work ($rebuilds)");
foreach my $name (split /\n/, $node->safe_psql('postgres', 'SELECT name FROM readmodel.status() ORDER BY name'))
{
    query_equals_oracle($node, 'postgres', $name);
}
my ($events, $holes) = split /\|/, $node->safe_psql('postgres', 'SELECT count(*), max(position) - count(*) FROM public.events');
note("$events events, $holes holes");
cmp_ok($events, '>', 350, 'there were appends');

$node->stop;
done_testing();
