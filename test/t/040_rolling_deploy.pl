# A rolling deployment: two revisions of an application call define_query at every start of an instance, in any order, for as long as it
# takes, while events arrive. There is one rebuild in all, the newer definition stays the newest, and each revision can ask for its own.
# The same with keep_generations at 0, where the older generation goes with the takeover, and with the gate.
#
# Guards define_query's look for a known hash, and beyond_kept(). Seen to fail with a with_hash() that does not find what was
# rejected or dropped, and without the limit in beyond_kept().
use strict;
use warnings;
use IPC::Run ();
use PostgreSQL::Test::Utils;
use Test::More;
use ReadModelCluster;

my $node = new_server('deploy', 'readmodel.batch_size = 50', 'readmodel.rebuild_rate_limit = 3000', 'max_worker_processes = 12');
make_shop($node, 'postgres');
my $body = $node->safe_psql('postgres', q{SELECT pg_get_functiondef('public.order_placed'::regproc)});
(my $other = $body) =~ s/order_placed/order_placed_2/;
$node->safe_psql('postgres', $other);
append_orders($node, 'postgres', 6000);

sub pgbench
{
    my ($clients, $options, @scripts) = @_;
    my @files;
    foreach my $script (@scripts)
    {
        my $file = $node->basedir . '/script' . (1 + ($main::scripts //= 0)) . '.pgbench';
        $main::scripts++;
        append_to_file($file, $script);
        push @files, '-f', $file;
    }
    local $ENV{PGOPTIONS} = '-c client_min_messages=error';
    my $output = '';
    my $run = IPC::Run::start([ $node->installed_command('pgbench'), '-n', '-h', $node->host, '-p', $node->port, '-c', $clients,
        @$options, @files, 'postgres' ], '<', \undef, '>&', \$output);
    return { run => $run, output => \$output };
}

# Every instance starts over and over again; one in four is of the old revision.
sub deployment
{
    my ($name, $options) = @_;
    my %revision;
    foreach my $function ('order_placed', 'order_placed_2')
    {
        my $arguments = "'shop', 'public.$function(jsonb, jsonb)', key => 'stream', options => '$options'";
        $revision{$function} = {
            define => "SELECT readmodel.define_query('$name', $arguments);",
            hash => $node->safe_psql('postgres', "SELECT readmodel.definition_hash($arguments)") };
    }
    my ($old, $new) = @revision{ 'order_placed', 'order_placed_2' };
    $node->safe_psql('postgres', $old->{define});
    wait_until($node, 'postgres', "readmodel.readiness('$name') = 'ready'", "$name: the old revision is ready");
    my $starts = pgbench(4, [ '-T', 600, '-R', 100 ], $old->{define}, $new->{define}, $new->{define}, $new->{define});
    return ($old->{hash}, $new->{hash}, $starts);
}

# What a revision that waits for its own definition sees; "none" where there is no such generation any more.
sub readiness
{
    my ($name, $hash) = @_;
    my ($status, $answer) = $node->psql('postgres', "SELECT readmodel.readiness('$name', '$hash')");
    return $status == 0 ? $answer : 'none';
}

sub started
{
    my ($starts) = @_;
    $starts->{run}->signal('TERM');
    $starts->{run}->finish;
    unlike(${ $starts->{output} }, qr/ERROR|aborted/, 'no start has met an error');
    return;
}

my $newest = sub { my ($name) = @_; return $node->safe_psql('postgres', "SELECT generation FROM readmodel.status() WHERE name = '$name'") };

# One generation for each definition, whatever became of it.
sub built_once
{
    my ($name, $what) = @_;
    return is($node->safe_psql('postgres', qq{
        SELECT count(*), count(DISTINCT definition_hash) FROM readmodel_catalog.generation JOIN readmodel_catalog.query USING (query_id)
        WHERE name = '$name'}), '2|2', $what);
}

my $appends = pgbench(2, [ '-T', 600, '-R', 200 ], q{
\set customer random(1, 20)
INSERT INTO public.events (stream_id, type, data) VALUES ('customer ' || :customer, 'OrderPlaced', jsonb_build_object('amount', :customer));
});

# --- with what is there by default
my ($old, $new, $starts) = deployment('orders', '{}');
wait_until($node, 'postgres', q{generation = 2 FROM readmodel.status() WHERE name = 'orders'}, 'orders: the new revision has come');
my (%old_says, %new_says, $back);
my $deadline = time + 60;
do
{
    $old_says{ readiness('orders', $old) }++;
    $new_says{ readiness('orders', $new) }++;
    $back++ if $newest->('orders') != 2;
} until $new_says{ready} && $new_says{ready} > 10 || time > $deadline;
is($back, undef, 'orders: the newer definition stays the newest');
is(join(' ', sort keys %old_says), 'ready', 'orders: the old revision is ready all the time');
is(join(' ', sort keys %new_says), 'ready rebuilding', 'orders: the new one after its rebuild');
started($starts);
built_once('orders', 'orders: one rebuild in all');
is($node->safe_psql('postgres', q{SELECT generation, serving_generation FROM readmodel.status() WHERE name = 'orders'}), '2|2',
    'orders: which has taken over');

# --- nothing is kept
($old, $new, $starts) = deployment('none kept', '{"keep_generations": 0}');
wait_until($node, 'postgres', qq{definition_hash = '$new' AND status = 'ready' FROM readmodel.status() WHERE name = 'none kept'},
    'none kept: the new revision is ready');
wait_until($node, 'postgres', q{count(*) = 1 FROM readmodel.generations('none kept')}, 'none kept: the old generation goes');
is(readiness('none kept', $old), 'none', 'none kept: the old revision is told so');
my $until = $node->safe_psql('postgres', q{SELECT sum(calls) FROM (SELECT xact_commit AS calls FROM pg_stat_database) d}) + 500;
wait_until($node, 'postgres', "sum(xact_commit) > $until FROM pg_stat_database", 'none kept: it starts again and again');
is($newest->('none kept'), 2, 'none kept: the newer definition stays the newest');
started($starts);
built_once('none kept', 'none kept: one rebuild in all');

# --- the gate
($old, $new, $starts) = deployment('gated', '{"on_change": "gate", "while_rebuilding": "serve_previous"}');
wait_until($node, 'postgres', q{status = 'gated' FROM readmodel.status() WHERE name = 'gated'}, 'gated: the new definition waits');
is(readiness('gated', $old), 'ready', 'gated: the old revision is ready');
is(readiness('gated', $new), 'gated', 'gated: the new one waits');
is($node->safe_psql('postgres', q{SELECT readmodel.get('gated', 'customer 1') IS NOT NULL, readmodel.ready(ARRAY['gated'])}), 't|t',
    'gated: the query is read from the old one');
$node->safe_psql('postgres', q{SELECT readmodel.reject('gated')});
$until = $node->safe_psql('postgres', q{SELECT sum(xact_commit) FROM pg_stat_database}) + 500;
wait_until($node, 'postgres', "sum(xact_commit) > $until FROM pg_stat_database", 'gated: it starts again and again');
is($newest->('gated'), 1, 'gated: what was rejected is not asked for again');
$node->safe_psql('postgres', q{SELECT readmodel.activate('gated', 2)});
wait_until($node, 'postgres', qq{definition_hash = '$new' AND status = 'ready' AND generation = serving_generation
    FROM readmodel.status() WHERE name = 'gated'}, 'gated: it is built after all');
started($starts);
is($node->safe_psql('postgres', q{
    SELECT string_agg(phase, ' ' ORDER BY generation) FROM readmodel_catalog.generation JOIN readmodel_catalog.query USING (query_id)
    WHERE name = 'gated'}), 'live rejected live', 'gated: one rebuild in all');

started($appends);
query_equals_oracle($node, 'postgres', $_) foreach 'orders', 'none kept', 'gated';

$node->stop;
done_testing();
