# A rebuild that is split among lanes gives the same states, aliases, count of events and checkpoint as one that is not: with a function
# and with a spec, with keys of events that concern instances of several lanes, and with lanes that are killed and servers that are
# stopped on the way.
#
# Guards split_rebuild and finish_share (one lane at a time merges; the generation's own checkpoint does not move before), the shares
# that FunctionUpdater and SpecUpdater leave to others, and AliasStore's share. Seen to fail with each lane of a spec counting all of
# its events, whoever has the first instance; with a lane that remembers the aliases of its own instances only; with the shares merged
# by the first lane that comes to its end; with a definer who is told only at first.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use ReadModelCluster;

my $node = new_server('parallel', 'readmodel.max_rebuild_workers = 4', 'max_worker_processes = 16', 'readmodel.batch_size = 100',
    q{readmodel.flush_interval = '10ms'});
$node->safe_psql('postgres', q{
    CREATE EXTENSION pg_readmodel;
    SELECT readmodel.create_event_table('public.events');
    SELECT readmodel.create_source('shop', 'public.events');
    CREATE FUNCTION public.chain(state jsonb, event jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE
    RETURN jsonb_build_object('n', coalesce((state ->> 'n')::int, 0) + 1,
                              'chain', md5(coalesce(state ->> 'chain', '') || (event ->> 'position')));
    INSERT INTO public.events (type, data)
    SELECT CASE WHEN i % 97 = 0 THEN 'Left' WHEN i % 3 = 0 THEN 'Shipped' ELSE 'Ordered' END,
           jsonb_build_object('customer', 'c ' || (i * 7) % 211, 'order', 'o ' || i % 1009, 'friend', 'c ' || i % 13, 'amount', i * 0.01)
    FROM generate_series(1, 20000) i});

my %definition = (
    function => q{'public.chain(jsonb, jsonb)', key => $$ARRAY[data ->> 'customer', data ->> 'friend']$$},
    spec => q{spec => '{
        "key": "$.customer",
        "on": {"Ordered": [{"alias": "$.order", "add": {"orders": 1, "total": "$.amount"}, "append": {"recent": "$event.position"},
                            "keep": {"recent": 5}},
                           {"key": "$.friend", "add": {"friends": 1}}],
               "Shipped": {"key": {"alias": "$.order"}, "append": {"shipped": "$.order"}, "keep": {"shipped": 3}},
               "Left": "delete"}}'});
my $digest = q{SELECT md5(string_agg(concat_ws(' ', id, position, state::text), E'\n' ORDER BY id)), count(*) FROM readmodel.%s};

sub define
{
    my ($name, $kind, $parallel) = @_;
    my ($result, $out, $told) = $node->psql('postgres',
        "SELECT readmodel.define_query('$name', 'shop', $definition{$kind}, options => '{\"parallel\": $parallel}')", on_error_die => 1);
    return $told;
}

sub generation_of
{
    my ($name) = @_;
    my ($table) = $node->safe_psql('postgres', qq{
        SELECT alias_table FROM readmodel_catalog.generation JOIN readmodel_catalog.query USING (query_id) WHERE name = '$name'});
    return join('|', $node->safe_psql('postgres', sprintf($digest, $name)),
        $node->safe_psql('postgres', qq{
            SELECT position, events_applied, instances, shares FROM readmodel_catalog.checkpoint
            JOIN readmodel_catalog.generation USING (generation_id) JOIN readmodel_catalog.query USING (query_id) WHERE name = '$name'}),
        $table ? $node->safe_psql('postgres', qq{SELECT md5(string_agg(concat_ws(' ', share, alias, instance), E'\n' ORDER BY alias)) FROM $table}) : ());
}

sub ready
{
    my ($name) = @_;
    return wait_until($node, 'postgres', "readmodel.readiness('$name') = 'ready'", "$name is ready");
}

my %expected;
foreach my $kind (qw(function spec))
{
    define("one_$kind", $kind, 1);
    ready("one_$kind");
    $expected{$kind} = generation_of("one_$kind");
    foreach my $lanes (2, 3, 4)
    {
        my $name = "split_${kind}_$lanes";
        define($name, $kind, $lanes);
        ready($name);
        is(generation_of($name), $expected{$kind}, "$kind, $lanes lanes: the same as with one");
    }
}
my $started = $node->safe_psql('postgres', q{SELECT count(*) FROM readmodel_catalog.share});
is($started, 0, 'no share is left');

# With fewer workers than lanes, which the option asks for, there are no more lanes than workers, and whoever asks is told.
$node->safe_psql('postgres', q{ALTER SYSTEM SET readmodel.max_rebuild_workers = 2});
$node->restart;
$node->safe_psql('postgres', q{ALTER SYSTEM SET readmodel.rebuild_rate_limit = 1000; SELECT pg_reload_conf()});
my $lanes = q{SELECT string_agg(query, '; ' ORDER BY query) FROM pg_stat_activity WHERE backend_type = 'pg_readmodel rebuild'};
like(define('few', 'spec', 6), qr/NOTICE:  option "parallel" is 6, but query "few" is rebuilt by 2 lanes\n/, 'the definer is told');
ok($node->poll_query_until('postgres', $lanes, 'rebuilding few from shop, lane 1 of 2; rebuilding few from shop, lane 2 of 2'),
    'each lane shows, and how many there are') or diag($node->safe_psql('postgres', $lanes));
$node->safe_psql('postgres', q{ALTER SYSTEM RESET readmodel.rebuild_rate_limit; SELECT pg_reload_conf()});
ready('few');
is(generation_of('few'), $expected{spec}, 'six lanes, two workers: the same');
like(define('few', 'spec', 3), qr/NOTICE:  option "parallel" is 3/, 'also when it is defined again');
unlike(define('few', 'spec', 2), qr/NOTICE/, 'what is granted is not worth a word');
unlike(define('few', 'spec', 1), qr/NOTICE/, 'nor is one lane');
# One lane alone knows the states on which the aliases depend here.
$definition{whole} = q{spec => '{"key": "$.customer", "on": {"Ordered": {"when": {"exists": "$state.orders"}, "alias": "$.order", "add": {"orders": 1}}}}'};
like(define('whole', 'whole', 2), qr/NOTICE:  option "parallel" is 2, but query "whole" is rebuilt by 1 lane\n/, 'a spec is not split');
is($node->safe_psql('postgres', $lanes . q{ AND query ~ ', lane'}), '', 'and is not');

# Slow enough to be disturbed.
$node->safe_psql('postgres', q{ALTER SYSTEM SET readmodel.rebuild_rate_limit = 1000; SELECT pg_reload_conf()});
my $half = q{(SELECT bool_and(coalesce(position, 0) > 1000) FROM readmodel_catalog.share)};    # the status tells of the last of them
my $pids = q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'pg_readmodel rebuild'};
foreach my $kind (qw(function spec))
{
    my $name = "disturbed_$kind";
    define($name, $kind, 2);
    wait_until($node, 'postgres', $half, "$kind: the lanes are on their way");
    is($node->safe_psql('postgres', "SELECT shares, position IS NULL FROM readmodel_catalog.checkpoint
        JOIN readmodel_catalog.generation USING (generation_id) JOIN readmodel_catalog.query USING (query_id) WHERE name = '$name'"),
        '2|t', 'the generation itself stands still');
    is($node->safe_psql('postgres', "SELECT status, position > 0 FROM readmodel.status() WHERE name = '$name'"), 'rebuilding|t',
        'its status says how far they are');
    my ($result, $out, $error) = $node->psql('postgres', "CALL readmodel.catch_up('$name')");
    like($error, qr/is rebuilt by several lanes/, 'a session keeps away from it');

    my ($one) = split(/\n/, $node->safe_psql('postgres', $pids));
    is($node->safe_psql('postgres', "SELECT pg_terminate_backend($one)"), 't', 'a lane is terminated') if $one;
    my $stored = $node->safe_psql('postgres', 'SELECT max(position) FROM readmodel_catalog.share');
    $node->stop('immediate');
    $node->start;
    wait_until($node, 'postgres', "EXISTS (SELECT FROM readmodel_catalog.share WHERE position > $stored)", 'they go on after a crash');
    $node->restart('fast');
    $node->safe_psql('postgres', q{ALTER SYSTEM RESET readmodel.rebuild_rate_limit; SELECT pg_reload_conf()});
    ready($name);
    is(generation_of($name), $expected{$kind}, "$kind: the same after all that");
    $node->safe_psql('postgres', q{ALTER SYSTEM SET readmodel.rebuild_rate_limit = 1000; SELECT pg_reload_conf()});
}
$node->safe_psql('postgres', q{ALTER SYSTEM RESET readmodel.rebuild_rate_limit; SELECT pg_reload_conf()});

# An error in one lane fails the query; the others stop.
$node->safe_psql('postgres', q{
    SELECT readmodel.define_query('failing', 'shop', spec => '{"key": "$.customer", "on": {"Ordered":
        [{"when": {"eq": ["$event.position", 15001]}, "add": {"total": "$.customer"}}, {"add": {"orders": 1}}]}}', options => '{"parallel": 3}')});
wait_until($node, 'postgres', q{(SELECT status = 'failed' FROM readmodel.status() WHERE name = 'failing')}, 'an error in one lane fails the query');
is($node->safe_psql('postgres', q{SELECT error_position, error_sqlstate FROM readmodel.status() WHERE name = 'failing'}), '15001|22023',
    'with the position of the event');
wait_until($node, 'postgres', q{NOT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'pg_readmodel rebuild')}, 'the lanes end');
$node->safe_psql('postgres', q{SELECT readmodel.drop_query('failing')});
is($node->safe_psql('postgres', 'SELECT count(*) FROM readmodel_catalog.share'), 0, 'a query can be dropped while it is split');

# What was appended meanwhile is the tail's.
$node->safe_psql('postgres', q{
    INSERT INTO public.events (type, data) SELECT 'Ordered', jsonb_build_object('customer', 'c 1', 'order', 'o 2', 'friend', 'c 3', 'amount', 1)});
foreach my $kind (qw(function spec))
{
    wait_until($node, 'postgres', "(SELECT bool_and(position = (SELECT max(position) FROM public.events)) FROM readmodel.status() WHERE name LIKE '%$kind%')", "$kind: all follow");
    is($node->safe_psql('postgres', sprintf($digest, "split_${kind}_3")), $node->safe_psql('postgres', sprintf($digest, "one_$kind")),
        "$kind: to the same states");
}
$node->stop;
done_testing();
