# With on_error = skip every event is either in the states or a dead letter, never both and never neither: in the tail, in rebuilds,
# in rebuilds that are split, and across a crash.
# Seen to fail with: letters that are written before the checkpoint's transaction, or not forgotten with a flush that was not
# committed (forget() without them); a fold that goes on at the failing event, or leaves the rest of the page out; letters without
# ON CONFLICT.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use ReadModelCluster;

my $node = new_server('letters', 'log_statement = none', 'readmodel.batch_size = 50', 'readmodel.flush_interval = 50',
    'readmodel.max_rebuild_workers = 2', 'max_worker_processes = 12');
make_shop($node, 'postgres');
$node->safe_psql('postgres', q{
    CREATE FUNCTION public.picky(state jsonb, event jsonb) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE AS $$
    BEGIN
        IF event -> 'data' ? 'bad' THEN
            RAISE EXCEPTION 'cannot take %', event #>> '{data,bad}' USING ERRCODE = 'ZZ123';
        END IF;
        RETURN public.order_placed(state, event);
    END $$});

my $spec = q{{"key": "$event.stream", "on": {"*": [
    {"add": {"orders": 1, "total": "$.amount"}, "append": {"positions": "$event.position"}},
    {"when": {"exists": "$.bad"}, "add": {"positions": 1}}]}}};

sub define
{
    my ($query, $key, $options) = @_;
    my $what = $key eq 'spec' ? "spec => '$spec'" : qq{updater => 'public.picky(jsonb, jsonb)', key => '$key'};
    $node->safe_psql('postgres', qq{
        SELECT readmodel.define_query('$query', 'shop', $what, options => '{"on_error": "skip", $options"version": "$query"}')});
}

# Some orders of which every n-th is bad.
sub append_some
{
    my ($count, $every) = @_;
    $node->safe_psql('postgres', qq{
        INSERT INTO public.events (stream_id, type, data)
        SELECT 'customer ' || (i % 20), 'OrderPlaced',
            jsonb_build_object('amount', i) || CASE WHEN i % $every = 0 THEN '{"bad": "secret 4711"}' ELSE '{}'::jsonb END
        FROM generate_series(1, $count) i});
}

# Every event is applied once, or a letter once.
sub all_there
{
    my ($query, $what) = @_;
    wait_until($node, 'postgres',
        "readmodel.readiness('$query') = 'ready' AND (SELECT position >= (SELECT max(position) FROM public.events)
            FROM readmodel.status() WHERE name = '$query')", "$what: it is ready and at the last event");
    is($node->safe_psql('postgres', qq{
        SELECT count(*), count(*) FILTER (WHERE state IS DISTINCT FROM expected)
        FROM readmodel."$query"
        FULL JOIN (
            SELECT stream_id AS id, jsonb_build_object('orders', count(*), 'total', sum((data ->> 'amount')::bigint),
                'positions', jsonb_agg(position ORDER BY position)) AS expected
            FROM public.events WHERE NOT data ? 'bad' GROUP BY stream_id) oracle USING (id)}),
        $node->safe_psql('postgres', q{SELECT count(DISTINCT stream_id), 0 FROM public.events WHERE NOT data ? 'bad'}),
        "$what: its states have all other events");
    is($node->safe_psql('postgres', "SELECT string_agg(position::text, ' ' ORDER BY position) FROM readmodel.dead_letters('$query')"),
        $node->safe_psql('postgres', q{SELECT string_agg(position::text, ' ' ORDER BY position) FROM public.events WHERE data ? 'bad'}),
        "$what: and the bad ones are its dead letters");
    is($node->safe_psql('postgres', "SELECT events_applied FROM readmodel.status() WHERE name = '$query'"),
        $node->safe_psql('postgres', q{SELECT count(*) FROM public.events WHERE NOT data ? 'bad'}), "$what: it counts what it applied");
}

# --- the tail
define('tail', 'stream', '');
define('tail spec', 'spec', '');
$node->safe_psql('postgres', q{SELECT readmodel.define_query('fails', 'shop', 'public.picky(jsonb, jsonb)', key => 'stream')});
wait_until($node, 'postgres', 'readmodel.ready()', 'three queries are ready');
my $log = -s $node->logfile;
append_some(130, 7);
all_there('tail', 'in the tail');
all_there('tail spec', 'a spec in the tail');
is($node->safe_psql('postgres', q{SELECT DISTINCT sqlstate, message FROM readmodel.dead_letters('tail')}),
    'ZZ123|cannot take secret 4711', 'a letter has the error');
wait_until($node, 'postgres', q{readmodel.readiness('fails') = 'failed'}, 'a query with on_error = fail has failed');
my $said = substr(slurp_file($node->logfile), $log);
is(scalar(() = $said =~ /WARNING: .*"tail" passed over the event at position/g), 18, 'the log has each once');
like($said, qr/"tail" passed over the event at position 7\n.*DETAIL: .*SQLSTATE ZZ123, SHA-256 of the event's data [0-9a-f]{64}/,
    'with SQLSTATE and digest');
unlike($said, qr/cannot take|4711/, 'and without message or payload');

# --- a failed query skips, once it is told to
$node->safe_psql('postgres', q{
    SELECT readmodel.define_query('fails', 'shop', 'public.picky(jsonb, jsonb)', key => 'stream', options => '{"on_error": "skip"}');
    SELECT readmodel.retry('fails')});
all_there('fails', 'after retry with another option');
is($node->safe_psql('postgres', q{SELECT generation FROM readmodel.status() WHERE name = 'fails'}), 1, 'as the same generation');

# --- a rebuild, with a crash in the middle of it
append_some(3000, 101);
$node->append_conf('postgresql.conf', "readmodel.rebuild_rate_limit = 1500\nreadmodel.synchronous_commit = on");
$node->reload;
define('rebuild', 'stream', '');
my $letters = q{SELECT count(*) FROM readmodel.dead_letters('rebuild')};
ok($node->poll_query_until('postgres', "SELECT ($letters) BETWEEN 20 AND 40"), 'a rebuild has passed over some events');
$node->stop('immediate');
$node->append_conf('postgresql.conf', 'readmodel.rebuild_rate_limit = 0');
$node->start;
cmp_ok($node->safe_psql('postgres', $letters), '>=', 20, 'a crash takes none back');
all_there('rebuild', 'a rebuild');

# --- split: a key that cannot be had is met by every share, an updater's error by one of them
define('split', 'stream', '"parallel": 2, ');
define('split spec', 'spec', '"parallel": 2, ');
define('split key', q{stream || left((10 / CASE WHEN data ? ''bad'' THEN 0 ELSE 1 END)::text, 0)}, '"parallel": 2, ');
foreach my $query ('split', 'split spec', 'split key')
{
    all_there($query, $query);
}
append_some(60, 9);
all_there($_, "$_, later") foreach 'tail', 'tail spec', 'rebuild', 'split', 'split spec', 'split key';

# --- the limit, in a worker; the one query fails and the others go on
$node->safe_psql('postgres', q{
    SELECT readmodel.define_query('limited', 'shop', 'public.picky(jsonb, jsonb)', key => 'stream',
        options => '{"on_error": "skip", "max_dead_letters": 4}')});
wait_until($node, 'postgres', q{readmodel.readiness('limited') = 'failed'}, 'with one letter too many a query fails');
is($node->safe_psql('postgres', q{
    SELECT (SELECT count(*) FROM readmodel.dead_letters('limited')), error_sqlstate, error_position = (
        SELECT position FROM public.events WHERE data ? 'bad' ORDER BY position LIMIT 1 OFFSET 4)
    FROM readmodel.status() WHERE name = 'limited'}), '4|ZZ123|t', 'at the event after the last letter');
is($node->safe_psql('postgres', q{SELECT readmodel.ready(ARRAY['tail', 'split'])}), 't', 'the others are ready');
$node->safe_psql('postgres', q{
    SELECT readmodel.define_query('limited', 'shop', 'public.picky(jsonb, jsonb)', key => 'stream', options => '{"on_error": "skip"}');
    SELECT readmodel.retry('limited')});
all_there('limited', 'with a higher limit it goes on');

# --- what is discarded is gone from the list and stays out of the states
my $first = $node->safe_psql('postgres', q{SELECT min(position) FROM readmodel.dead_letters('tail')});
$node->safe_psql('postgres', "SELECT readmodel.discard_dead_letter('tail', $first)");
append_some(5, 100);
wait_until($node, 'postgres', q{(SELECT lag = 0 FROM readmodel.status() WHERE name = 'tail')}, 'it goes on');
is($node->safe_psql('postgres', qq{
    SELECT (SELECT min(position) > $first FROM readmodel.dead_letters('tail')),
        (SELECT sum((state ->> 'orders')::int) FROM readmodel.tail) = (SELECT count(*) FROM public.events WHERE NOT data ? 'bad')}),
    't|t', 'a discarded letter is not listed, and not applied');

$node->stop;
done_testing();
