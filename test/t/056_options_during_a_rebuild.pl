# An option that is changed in the middle of a rebuild breaks off the event in hand, which may be what it is meant for. That is no
# failure: the query stays what it was, and the older generation goes on to answer.
#
# Seen to fail where the event that was broken off is taken for one that could not be applied: stalled until the next flush.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use ReadModelCluster;

my $node = new_server('options', 'readmodel.batch_size = 50');
make_shop($node, 'postgres');
append_orders($node, 'postgres', 200);

sub define
{
    my ($updater, $options) = @_;
    $node->safe_psql('postgres',
        "SELECT readmodel.define_query('slow', 'shop', 'public.$updater(jsonb, jsonb)', key => 'stream', options => '{\"while_rebuilding\": \"serve_previous\"$options}')");
    return;
}

$node->safe_psql('postgres', q{
    CREATE FUNCTION public.quick(state jsonb, event jsonb) RETURNS jsonb LANGUAGE sql RETURN event -> 'position';
    CREATE FUNCTION public.slow(state jsonb, event jsonb) RETURNS jsonb LANGUAGE plpgsql
        AS $$ BEGIN PERFORM pg_sleep(0.02); RETURN event -> 'position'; END $$});
define('quick', '');
wait_until($node, 'postgres', q{readmodel.readiness('slow') = 'ready'}, 'the query is ready');
define('slow', '');
wait_until($node, 'postgres', q{EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'pg_readmodel rebuild' AND wait_event = 'PgSleep')},
    'a slow generation is being built');
define('slow', ', "keep_generations": 2');

my %seen;
my $until = time + $PostgreSQL::Test::Utils::timeout_default;
my $reading = $node->background_psql('postgres');
while (time < $until)
{
    my $status = $reading->query_safe(q{SELECT status FROM readmodel.status()});
    $seen{$status}++;
    last if $status eq 'ready';
    $seen{'refused'}++ if !defined eval { $reading->query_safe(q{SELECT readmodel.get('slow', (SELECT min(stream_id) FROM public.events))}) };
}
$reading->quit;
is(join(', ', sort keys %seen), 'ready, rebuilding', 'which goes on, and is answered by the older one');

$node->stop;
done_testing();
