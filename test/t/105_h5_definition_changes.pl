# H5: a definition changes while events arrive. The states of each generation are whole from one definition, never half old, half new:
# each event's trace carries the updater's text under which it was folded. One that lost its updater stands where it stood, and the
# query goes on with what the definition is now, by itself: a replaced updater, ALTER FUNCTION .. SET, another column type, another
# mapping, also without events and while no worker ran.
#
# Guards Fold::updater_unchanged, which Lane asks before a fold and again before its commit, query::definition_unchanged, which is
# asked when a generation is taken up, and TailWorker::freeze_changed. Seen to fail with
# updater_unchanged always true, and without look_for_changes().
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

my %expected;    # by definition hash: the updater's text, and the key over the table's row

# The arguments of define_query but for the name; a hash is noted in the transaction in which its updater came to be.
sub arguments
{
    my ($function, $key, $options) = @_;
    return "'shop', 'public.$function(jsonb, jsonb)', key => \$\$$key\$\$, options => '$options'";
}

sub expect
{
    my ($before, $function, $text, $key, $options) = @_;
    my $hash = $node->safe_psql('postgres', "BEGIN; SET LOCAL client_min_messages = warning; $before;
        SELECT readmodel.definition_hash(" . arguments($function, $key, $options) . '); COMMIT');
    $expected{$hash} = [ $text, $key eq 'stream' ? 'stream_id' : $key ];
    return $hash;
}

sub define
{
    my ($before, $function, $text, $key, $options) = @_;
    return expect("$before; SELECT FROM readmodel.define_query('trace', " . arguments($function, $key, $options) . ')',
        $function, $text, $key, $options);
}

sub ready
{
    my ($hash, $what) = @_;
    return wait_until($node, 'postgres',
        qq{bool_and(status = 'ready' AND definition_hash = '$hash' AND generation = serving_generation) FROM readmodel.status()}, $what);
}

# Every generation that is kept holds, at its position, what the definition with its hash makes of the events up to there.
sub oracle
{
    my ($when) = @_;
    my $generations = $node->safe_psql('postgres', q{
        SELECT g.generation, g.definition_hash, status, c.position, g.state_table
        FROM readmodel.generations('trace') AS shown
        JOIN readmodel_catalog.generation AS g USING (generation)
        JOIN readmodel_catalog.checkpoint AS c USING (generation_id) ORDER BY 1});
    my %seen;
    foreach my $row (split /\n/, $generations)
    {
        my ($generation, $hash, $status, $position, $states) = split /\|/, $row;
        ok($expected{$hash}, "$when: generation $generation is of a definition that there was") or next;
        my ($text, $key) = @{ $expected{$hash} };
        $seen{$status}++;
        $position = -1 if $position eq '';    # it never got to store anything
        is($node->safe_psql('postgres', qq{
            SELECT id, stored.position, oracle.position,
                   (SELECT jsonb_agg(e) FROM jsonb_array_elements(stored.state) e WHERE NOT coalesce(oracle.state, '[]') \@> jsonb_build_array(e)),
                   (SELECT jsonb_agg(e) FROM jsonb_array_elements(oracle.state) e WHERE NOT coalesce(stored.state, '[]') \@> jsonb_build_array(e)),
                   (SELECT row(f.*)::text FROM readmodel_catalog.failure f JOIN readmodel_catalog.generation g USING (generation_id)
                     WHERE g.generation = $generation AND g.state_table = '$states'::regclass)
            FROM $states AS stored
            FULL JOIN (
                SELECT $key AS id, jsonb_agg('$text ' || position ORDER BY position) AS state, max(position) AS position
                FROM public.events WHERE position <= $position AND $key IS NOT NULL GROUP BY $key) AS oracle USING (id)
            WHERE (stored.state::text, stored.position) IS DISTINCT FROM (oracle.state::text, oracle.position)}),
            '', "$when: generation $generation, $status at $position: whole, and from one definition");
    }
    is($node->safe_psql('postgres', q{SELECT max(n) FROM (SELECT count(*) n FROM readmodel_catalog.generation GROUP BY definition_hash) c}),
        1, "$when: no definition was built twice");
    note("$when: ", join ', ', map { "$seen{$_} $_" } sort keys %seen);
    return \%seen;
}

# All of them are kept, to be looked at; what was superseded before it was built and lost its updater has gone.
my $keep = '"keep_generations": 100';

# The generation that is live is called "trace" and its updater is replaced in each round, at another moment of the load.
foreach my $round (1 .. 4)
{
    # Another function: the old generation goes on beside it.
    define(updater("trace_$round", "other $round"), "trace_$round", "other $round", 'stream', "{$keep}");
    # At once yet another definition, while that one is being built; each in turn by key and version, and by its text.
    my $key = $round % 2 ? q{data ->> 'country'} : 'stream';
    my $options = qq({"version": "$round", $keep});
    my $replaced = define(updater('trace', "replaced $round"), 'trace', "replaced $round", $key, $options);
    ready($replaced, "round $round: ready under another key, version and updater") if $round % 2;
    # Replaced without a word, while it is live or being built.
    my $silent = expect(updater('trace', "silent $round"), 'trace', "silent $round", $key, $options);
    ready($silent, "round $round: what is replaced without a word is built by itself");
    # Twice in one transaction, and then defined.
    my $again = define(updater('trace', 'never seen') . ';' . updater('trace', "again $round"), 'trace', "again $round", $key, $options);
    ready($again, "round $round: ready again") if $round < 4;
    # Put back at once, and forth and back: the generations that there are go on.
    $node->safe_psql('postgres', updater('trace', "silent $round"));
    $node->safe_psql('postgres', updater('trace', "again $round"));
    $node->safe_psql('postgres', updater('trace', "silent $round"));
    ready($silent, "round $round: what is put back goes on where it stood");
}
my ($key, $options, $function) = ('stream', qq({"version": "4", $keep}), 'public.trace(jsonb, jsonb)');
my $silent = expect('SELECT', 'trace', 'silent 4', $key, $options);
my $set = expect("ALTER FUNCTION $function SET work_mem = '5MB'", 'trace', 'silent 4', $key, $options);
ready($set, 'ALTER FUNCTION .. SET makes another definition');
$node->safe_psql('postgres', "ALTER FUNCTION $function RESET work_mem");
ready($silent, 'and RESET the one before');

# While no worker runs.
$node->safe_psql('postgres', $_) foreach 'ALTER SYSTEM SET readmodel.enabled = off', 'SELECT pg_reload_conf()';
no_tail($node, 'postgres', 'the tail worker has ended');
my $unseen = expect(updater('trace', 'unseen'), 'trace', 'unseen', $key, $options);
$node->safe_psql('postgres', $_) foreach 'ALTER SYSTEM RESET readmodel.enabled', 'SELECT pg_reload_conf()';
ready($unseen, 'what was replaced while no worker ran is noticed by the next one');
$node->stop('immediate');
$appends->finish;
$node->start;
$unseen = expect(updater('trace', 'after a crash'), 'trace', 'after a crash', $key, $options);
ready($unseen, 'and after a crash');
my $seen = oracle('functions');
cmp_ok($seen->{ready}, '>=', 5, 'the other functions of each round, and the newest, follow');

# What is read.
$appends = IPC::Run::start([ $node->installed_command('pgbench'), '-n', '-h', $node->host, '-p', $node->port, '-c', 2, '-R', 200,
    '-T', 600, '-f', $script, 'postgres' ], '<', \undef, '>&', \$output);
my $typed = expect('ALTER TABLE public.events ALTER COLUMN type TYPE varchar(50)', 'trace', 'after a crash', $key, $options);
ready($typed, 'another type of a column that is read makes another definition');
my $mapped = expect(q{UPDATE readmodel_catalog.source SET occurred_at_expression = 'occurred_at'}, 'trace', 'after a crash', $key, $options);
ready($mapped, 'and so does another mapping');
$appends->signal('TERM');    # SIGINT is ignored by what was started in the background
$appends->finish;

# Nobody appends, and the tail hardly ever looks for events.
my $head = $node->safe_psql('postgres', 'SELECT max(position) FROM public.events');
wait_until($node, 'postgres', "bool_and(position >= $head) FROM readmodel.status()", 'all is applied');
$node->safe_psql('postgres', $_) foreach "ALTER SYSTEM SET readmodel.poll_interval = '1h'", 'SELECT pg_reload_conf()';
wait_until($node, 'postgres', q{current_setting('readmodel.poll_interval') = '1h'}, 'the tail does not poll');
$node->safe_psql('postgres', q{SELECT pg_sleep_for('1500 ms')});    # its last short sleep is over; only makes the test sharper
my $quiet = expect(updater('trace', 'quiet'), 'trace', 'quiet', $key, $options);
ready($quiet, 'a change is noticed without an event');
my $mapped_quietly = expect(q{UPDATE readmodel_catalog.source SET metadata_expression = 'metadata'}, 'trace', 'quiet', $key, $options);
ready($mapped_quietly, 'and so is another mapping');

$seen = oracle('at the end');
is($seen->{ready}, 1, 'one generation has the definition that there is');
is($node->safe_psql('postgres', q{SELECT position FROM readmodel.status()}), $head, 'it is at the end');
is($node->safe_psql('postgres', q{SELECT * FROM readmodel_catalog.failure WHERE reason <> 'definition_changed'}), '',
    'the others stand because their definition is gone');

$node->stop;
done_testing();
