# H5: a definition changes while events arrive. The states of each generation are whole from one definition, never half old, half new:
# each event's trace carries the updater's text under which it was folded. One that lost its updater stands where it stood.
#
# Guards Fold::updater_unchanged, which Lane asks before a fold and again before its commit, and query::definition_unchanged, which is
# asked when a generation is taken up. Seen to fail with
# updater_unchanged always true.
use strict;
use warnings;
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;
use ReadModelCluster;

my $node = new_server('definitions', 'readmodel.batch_size = 10', 'max_worker_processes = 12');
make_shop($node, 'postgres');
append_orders($node, 'postgres', 100);

my $script = $node->basedir . '/append.pgbench';
append_to_file($script, q{
\set customer random(1, 5)
INSERT INTO public.events (stream_id, type, data)
VALUES ('customer ' || :customer, 'OrderPlaced', jsonb_build_object('amount', :customer, 'country', 'country ' || :customer % 2));
});
my $output = '';
my $appends = IPC::Run::start([ $node->installed_command('pgbench'), '-n', '-h', $node->host, '-p', $node->port, '-c', 2, '-R', 200,
    '-T', 600, '-f', $script, 'postgres' ], '<', \undef, '>&', \$output);

# A trace of every event with the text of the updater that saw it.
sub updater
{
    my ($name, $text) = @_;
    return qq{CREATE OR REPLACE FUNCTION public.$name(state jsonb, event jsonb) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE AS \$\$
        BEGIN RETURN coalesce(state, '[]') || jsonb_build_array('$text ' || (event ->> 'position')); END \$\$};
}

my %expected;    # by generation: the updater's text, and the key over the table's row

sub define
{
    my ($before, $function, $text, $key, $options) = @_;
    my $generation = $node->safe_psql('postgres', "BEGIN; SET LOCAL client_min_messages = warning; $before;
        SELECT readmodel.define_query('trace', 'shop', 'public.$function(jsonb, jsonb)', key => \$\$$key\$\$,
                                      options => '$options');
        COMMIT");
    my ($of_table) = $key eq 'stream' ? 'stream_id' : $key;
    $expected{$generation} = [ $text, $of_table ];
    return $generation;
}

sub ready
{
    my ($what) = @_;
    return wait_until($node, 'postgres', q{readmodel.readiness('trace') = 'ready'}, $what);
}

# The updater of the generation that is live is called "trace" and is replaced in each round, at another moment of the load.
my $live;
foreach my $round (1 .. 5)
{
    # Another function: the old generation goes on beside it.
    define(updater("trace_$round", "other $round"), "trace_$round", "other $round", 'stream', '{}');
    # At once yet another definition, while that one is being built; each in turn by key and version, and by its text.
    my $key = $round % 2 ? q{data ->> 'country'} : 'stream';
    my $text = "replaced $round";
    $live = define(updater('trace', $text), 'trace', $text, $key, qq({"version": "$round"}));
    ready("round $round: ready under another key, version and updater") if $round % 2;
    # Replaced without a word: the generation fails, and stands.
    my $silent = updater('trace', "silent $round");
    $node->safe_psql('postgres', $silent);
    wait_until($node, 'postgres', q{status = 'failed' AND reason ~ '^definition_changed' FROM readmodel.status()},
        "round $round: an updater that is replaced under the load stops its generation");
    # Twice in one transaction, and then defined.
    define(updater('trace', 'never seen') . ';' . updater('trace', "again $round"), 'trace', "again $round", $key,
        qq({"version": "$round"}));
    ready("round $round: ready again");
}
$appends->signal('TERM');    # SIGINT is ignored by what was started in the background
$appends->finish;

my $head = $node->safe_psql('postgres', 'SELECT max(position) FROM public.events');
wait_until($node, 'postgres', "bool_and(position = $head OR status = 'failed') AND bool_or(status = 'ready')
    FROM readmodel.generations('trace')", 'all generations that can have reached the end');
my $generations = $node->safe_psql('postgres', q{
    SELECT g.generation, status, c.position, g.state_table
    FROM readmodel.generations('trace') AS shown
    JOIN readmodel_catalog.generation AS g USING (generation)
    JOIN readmodel_catalog.checkpoint AS c USING (generation_id) ORDER BY 1});
my %seen;
foreach my $row (split /\n/, $generations)
{
    my ($generation, $status, $position, $states) = split /\|/, $row;
    my ($text, $key) = @{ $expected{$generation} };
    $seen{$status}++;
    $position = -1 if $position eq '';    # it never got to store anything
    is($node->safe_psql('postgres', qq{
        SELECT count(*) FROM $states AS stored
        FULL JOIN (
            SELECT $key AS id, jsonb_agg('$text ' || position ORDER BY position) AS state, max(position) AS position
            FROM public.events WHERE position <= $position AND $key IS NOT NULL GROUP BY $key) AS oracle USING (id)
        WHERE (stored.state::text, stored.position) IS DISTINCT FROM (oracle.state::text, oracle.position)}),
        0, "generation $generation, $status at $position: whole, and from one definition");
    is($position, $head, "generation $generation is at the end") if $status eq 'ready';
}
note("generations: ", join ', ', map { "$seen{$_} $_" } sort keys %seen);
is($seen{ready}, 6, 'the others of each round, and the last one, follow');
is(scalar(keys %expected), $seen{ready} + $seen{failed}, 'all generations were looked at');

$node->stop;
done_testing();
