# An updater that is replaced while retry_dead_letters, rebuild_instance or state_at waits: what folds afresh does so with the updater
# that made the states, or not at all.
#
# Guards LogReplay, which accepts the updater before it compares the definition. Seen to fail without that comparison: the older
# generation's states are folded by the newer function.
use strict;
use warnings;
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;
use ReadModelCluster;

my $node = new_server('replaced_during_a_correction');
make_shop($node, 'postgres');
append_orders($node, 'postgres', 50);

sub updater
{
    my ($version) = @_;
    return qq{
        CREATE OR REPLACE FUNCTION public.counted(state jsonb, event jsonb) RETURNS jsonb LANGUAGE plpgsql AS \$\$
        BEGIN
            IF (event ->> 'position')::bigint % 10 = 3 THEN RAISE EXCEPTION 'ends in 3'; END IF;
            RETURN jsonb_build_object('version', $version, 'events', coalesce((state ->> 'events')::integer, 0) + 1);
        END \$\$};
}

sub states
{
    my ($generation) = @_;
    my $table = $node->safe_psql('postgres', "SELECT readmodel.state_table('counted', $generation)");
    return $node->safe_psql('postgres', "SELECT string_agg(id || ' ' || state || ' ' || position, E'\\n' ORDER BY id) FROM $table");
}

$node->safe_psql('postgres', updater(1));
$node->safe_psql('postgres', q{SELECT readmodel.define_query('counted', 'shop', 'public.counted(jsonb, jsonb)', key => 'stream',
    options => '{"on_error": "skip", "keep_generations": 9}')});
wait_until($node, 'postgres', q{readmodel.ready(ARRAY['counted'])}, 'the query is ready');
is($node->safe_psql('postgres', q{SELECT count(*) FROM readmodel.dead_letters('counted')}), 5, 'and has passed over events');

my $version = 1;
foreach my $call (q{readmodel.retry_dead_letters('counted')}, q{readmodel.retry_dead_letters('counted', 13)},
    q{readmodel.rebuild_instance('counted', (SELECT id FROM readmodel.counted ORDER BY id LIMIT 1))})
{
    my $before = states($version);
    my $blocker = $node->background_psql('postgres');
    $blocker->query_safe("BEGIN; SELECT c.generation_id FROM readmodel_catalog.checkpoint c JOIN readmodel_catalog.generation g USING (generation_id)
        WHERE g.generation = $version FOR UPDATE OF c");
    my ($output, $errors) = ('', '');
    my $session = IPC::Run::start([ $node->installed_command('psql'), '-XAt', '-v', 'VERBOSITY=verbose', '-h', $node->host,
        '-p', $node->port, '-d', 'postgres', '-c', "SELECT $call" ], '<', \undef, '>', \$output, '2>', \$errors);
    wait_until($node, 'postgres', q{EXISTS (SELECT FROM pg_stat_activity
        WHERE backend_type = 'client backend' AND wait_event_type = 'Lock' AND query LIKE 'SELECT readmodel.re%')}, "$call waits");
    $version++;
    $node->safe_psql('postgres', updater($version));
    $blocker->query_safe('COMMIT');
    $blocker->quit;
    ok(!$session->finish, "$call fails");
    like($errors, qr/ERROR:  40001: the updater of query "counted" was changed concurrently/, '.. and says why');
    is(states($version - 1), $before, '.. and the states stay as they were made');
    wait_until($node, 'postgres', qq{(SELECT status = 'ready' AND generation = $version FROM readmodel.status())}, 'the replaced updater is followed');
}

# What cannot be corrected, since its updater is gone, does not go on with what was erased once that is put back.
my ($id) = split /\n/, $node->safe_psql('postgres', 'SELECT id FROM readmodel.counted ORDER BY id');
$node->safe_psql('postgres', qq{
    DELETE FROM public.events WHERE stream_id = '$id';
    SELECT readmodel.rebuild_instance('counted', '$id')});
$node->safe_psql('postgres', updater(1));
wait_until($node, 'postgres', q{(SELECT status = 'failed' AND reason LIKE 'late_event%' AND generation = 1 FROM readmodel.status())},
    'the older generation, whose updater is put back, has failed');
like($node->safe_psql('postgres', 'SELECT error_message FROM readmodel.status()'), qr/^instance "$id" was corrected while/, 'and says why');
$node->safe_psql('postgres', q{SELECT readmodel.rebuild('counted')});
wait_until($node, 'postgres', q{(SELECT status = 'ready' AND generation = 5 FROM readmodel.status())}, 'a rebuild is its way back');
is($node->safe_psql('postgres', "SELECT count(*) FROM readmodel.counted WHERE id = '$id'"), 0, 'without what was erased');

$node->stop;
done_testing();
