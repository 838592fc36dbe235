# What a takeover carries over to the new generation's table of states: indexes, privileges, comments, storage options, and
# statistics; whether the rebuild had a lane of its own, was split, ran in the tail, or in a session. And how it gets along with the
# readers of the view.
#
# Guards query::prepare_takeover. Seen to fail without carry_over_indexes, carry_over_storage, carry_over_privileges or the ANALYZE, with an
# error of one index stopping the takeover, with indexes looked at as a superuser, with nothing carried over that the older one was given after the preparation, and with the preparation left out in the tail or in catch_up; and query::takeover_patience_ms, seen to fail
# without any patience, and the reason, with nothing told of the wait.
use strict;
use warnings;
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;
use ReadModelCluster;
use Time::HiRes;

my $node = new_server('takeover', 'readmodel.batch_size = 10', 'max_worker_processes = 12', 'autovacuum = off');
make_shop($node, 'postgres');
append_orders($node, 'postgres', 60);
$node->safe_psql('postgres', 'CREATE ROLE reader; CREATE ROLE "odd role"');

sub define
{
    my ($version, $options) = @_;
    $options //= '';
    return $node->safe_psql('postgres', qq{
        SELECT readmodel.define_query('orders', 'shop', 'public.order_placed(jsonb, jsonb)', key => 'stream',
                                      options => '{"version": "$version"$options}')});
}

sub state_table
{
    my ($generation) = @_;
    return $node->safe_psql('postgres', "SELECT readmodel.state_table('orders', $generation)");
}

# All that is to be the same, without the names of tables and indexes. The order of grants tells nothing: they are made anew where a table
# is prepared once more.
sub properties
{
    my ($table) = @_;
    return $node->safe_psql('postgres', qq{
        SELECT regexp_replace(pg_get_indexdef(i.indexrelid), ' INDEX .+ ON readmodel_data\\.[a-z0-9_]+ ', ' INDEX ON '),
               obj_description(i.indexrelid), c.relname LIKE '%' || t.relname || '%' AND i.indisprimary AS own_key
        FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_class t ON t.oid = i.indrelid
        WHERE i.indrelid = '$table'::regclass ORDER BY 1;
        SELECT a.attname, a.attstattarget, a.attstorage, a.attcompression, a.attacl, col_description(a.attrelid, attnum)
        FROM pg_attribute a WHERE attrelid = '$table'::regclass AND attnum > 0 ORDER BY attnum;
        SELECT obj_description(c.oid, 'pg_class'), (SELECT array_agg(a::text ORDER BY a::text) FROM unnest(c.relacl) a), c.relowner::regrole,
               (SELECT array_agg(o ORDER BY o) FROM unnest(c.reloptions) o), t.reloptions
        FROM pg_class c JOIN pg_class t ON t.oid = c.reltoastrelid WHERE c.oid = '$table'::regclass});
}

sub analyzed
{
    my ($table) = @_;
    return $node->safe_psql('postgres', qq{SELECT reltuples, EXISTS (SELECT FROM pg_stats
        WHERE format('%I.%I', schemaname, tablename)::regclass = c.oid AND attname = 'id')
        FROM pg_class c WHERE oid = '$table'::regclass});
}

define('1');
wait_ready($node, 'postgres', 'the first generation is ready');
my $first = state_table(1);
is(analyzed($first), '20|t', 'a first generation is analyzed too');
$node->safe_psql('postgres', qq{
    CREATE INDEX total ON $first (((state ->> 'total')::bigint) DESC NULLS LAST) WITH (fillfactor = 70);
    CREATE UNIQUE INDEX "odd ""name" ON $first (lower(id)) INCLUDE (position) WHERE state ? 'orders';
    CREATE INDEX ON $first USING gin (state jsonb_path_ops);
    ALTER TABLE $first ADD CONSTRAINT one_of_each UNIQUE (id, position);
    COMMENT ON INDEX readmodel_data.total IS 'for the "best" customers';
    COMMENT ON TABLE $first IS 'orders, it''s said';
    COMMENT ON COLUMN $first.state IS 'the sum';
    GRANT SELECT ON $first TO reader WITH GRANT OPTION;
    GRANT SELECT (id) ON $first TO "odd role";
    ALTER TABLE $first SET (fillfactor = 60, autovacuum_enabled = false, toast.autovacuum_vacuum_threshold = 77);
    ALTER TABLE $first ALTER state SET STATISTICS 17, ALTER state SET STORAGE EXTERNAL, ALTER state SET COMPRESSION lz4;
});
my $wanted = properties($first);
like($wanted, qr/gin .*17\|e\|l.*toast|gin/s, 'there is something to carry over');

# More than a page away is a lane of its own; with a larger page it is the tail.
my $generation = define('2');
wait_ready($node, 'postgres', 'a generation that had a lane of its own is ready');
is(properties(state_table($generation)), $wanted, 'a rebuild lane carries everything over');
is(analyzed(state_table($generation)), '20|t', '.. and analyzes');

$generation = define('3', ', "parallel": 2');
wait_ready($node, 'postgres', 'a generation that was split is ready');
is(properties(state_table($generation)), $wanted, 'a rebuild that is split carries everything over, once');

$node->append_conf('postgresql.conf', 'readmodel.batch_size = 1000');
$node->reload;
wait_until($node, 'postgres', q{current_setting('readmodel.batch_size') = '1000'}, 'larger pages');
$generation = define('4');
wait_ready($node, 'postgres', 'a generation of the tail is ready');
is(properties(state_table($generation)), $wanted, 'the tail carries everything over');
is(analyzed(state_table($generation)), '20|t', '.. and analyzes');

# Without workers, in a session.
$node->append_conf('postgresql.conf', 'readmodel.enabled = off');
$node->reload;
no_tail($node, 'postgres', 'no worker');
$generation = define('5');
$node->safe_psql('postgres', q{CALL readmodel.catch_up('orders')});
is($node->safe_psql('postgres', 'SELECT serving FROM readmodel_catalog.query'), $generation, 'catch_up takes over');
is(properties(state_table($generation)), $wanted, 'catch_up carries everything over');
$node->append_conf('postgresql.conf', 'readmodel.enabled = on');
$node->reload;
wait_ready($node, 'postgres', 'the workers are back');

# An index that the new states do not allow is left out with a warning, and the others are there.
my $current = state_table($generation);
$node->safe_psql('postgres', qq{
    CREATE UNIQUE INDEX a_unique ON $current ((state -> 'version'));
    CREATE FUNCTION public.versioned(state jsonb, event jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE
    RETURN '{"orders": 1, "version": 1}'::jsonb;
});
my $log = -s $node->logfile;
$generation = $node->safe_psql('postgres',
    q{SELECT readmodel.define_query('orders', 'shop', 'public.versioned(jsonb, jsonb)', key => 'stream')});
wait_ready($node, 'postgres', 'an index that cannot be made does not hold up the takeover');
is(properties(state_table($generation)), $wanted, '.. all the others are carried over');
like(slurp_file($node->logfile, $log), qr/WARNING:  index "a_unique" of query "orders" could not be carried over to generation $generation/,
    '.. and the log says which one is not');

# --- the readers of the view ---

# A reader who stays is not waited for: others read meanwhile, at once, and get the old generation; then it takes over.
my $before = $generation;
my $reader = $node->background_psql('postgres');
$reader->query_safe('BEGIN; SELECT count(*) FROM readmodel.orders');
my $reader_pid = $reader->query_safe('SELECT pg_backend_pid()');
$generation = define('6');
wait_until($node, 'postgres', "position = (SELECT max(position) FROM public.events)
    FROM readmodel.generations('orders') WHERE generation = $generation", 'the new generation is built');
my $slowest = 0;
for (1 .. 60)
{
    my $began = Time::HiRes::time();
    $node->safe_psql('postgres', q{SET statement_timeout = '3 s'; SELECT count(*) FROM readmodel.orders});
    my $took = Time::HiRes::time() - $began;
    $slowest = $took if $took > $slowest;
}
note(sprintf 'the slowest reader took %.0f ms', 1000 * $slowest);
is($node->safe_psql('postgres', 'SELECT serving FROM readmodel_catalog.query'), $before, 'a reader who stays keeps the old generation serving');
my $told = q{SELECT status || ' ' || reason FROM readmodel.status() WHERE name = 'orders'};
ok($node->poll_query_until('postgres', $told, "rebuilding takeover: waits for pid $reader_pid (for its lock on readmodel.orders)"),
    '.. which the status tells') or diag($node->safe_psql('postgres', $told));
# What the older one is given, or loses, while it serves is carried over too.
my $after = state_table($generation);
wait_until($node, 'postgres', "EXISTS (SELECT FROM pg_stats WHERE format('%I.%I', schemaname, tablename)::regclass = '$after'::regclass)", 'it is prepared');
is(properties($after), $wanted, '.. with all that there was');
$current = state_table($before);
$node->safe_psql('postgres', qq{
    CREATE ROLE late;
    CREATE INDEX ON $current ((state ->> 'late'));
    GRANT SELECT, DELETE ON $current TO late;
    REVOKE SELECT ON $current FROM reader;
    REVOKE SELECT (id) ON $current FROM "odd role";
    COMMENT ON TABLE $current IS 'late';
    ALTER TABLE $current SET (fillfactor = 80)});
my $changed = properties($current);
isnt($changed, $wanted, 'a reader keeps it serving, and it is changed');
my $locker = $node->background_psql('postgres');
$locker->query_safe("BEGIN; LOCK TABLE $current IN SHARE MODE");
my $locker_pid = $locker->query_safe('SELECT pg_backend_pid()');
$reader->query_safe('COMMIT');
$reader->quit;
ok($node->poll_query_until('postgres', $told,
    "rebuilding takeover: waits for pid $locker_pid (for its lock on $current)"),
    '.. and then it waits for who has locked the states') or diag($node->safe_psql('postgres', $told));
$locker->query_safe('COMMIT');
$locker->quit;
wait_ready($node, 'postgres', '.. and when he has gone, the new one takes over');
is($node->safe_psql('postgres', 'SELECT serving FROM readmodel_catalog.query'), $generation, '.. it is what the view shows');
is($node->safe_psql('postgres', q{SELECT reason IS NULL FROM readmodel.status() WHERE name = 'orders'}), 't', '.. and nothing is in the way any more');
is(properties(state_table($generation)), $changed, '.. and as the older one was then');

# Given up while it is prepared once more, it is left alone.
$reader = $node->background_psql('postgres');
$reader->query_safe('BEGIN; SELECT count(*) FROM readmodel.orders');
my $given_up = define('given up');
my $oid = $node->safe_psql('postgres', q{SELECT '} . state_table($given_up) . q{'::regclass::oid});
wait_until($node, 'postgres', "EXISTS (SELECT FROM pg_stats WHERE format('%I.%I', schemaname, tablename)::regclass = $oid)", 'another one is prepared');
$log = -s $node->logfile;
my $canceller = $node->background_psql('postgres');
$canceller->query_safe(q{SET client_min_messages = error; BEGIN; SELECT readmodel.cancel_rebuild('orders')});
$node->safe_psql('postgres', 'CREATE INDEX ON ' . state_table($generation) . q{ ((state ->> 'later'))});
wait_until($node, 'postgres', q{EXISTS (SELECT FROM pg_locks JOIN pg_stat_activity USING (pid)
    WHERE backend_type = 'pg_readmodel tail' AND NOT granted)}, '.. and again, since there is one index more');
$canceller->query_safe('COMMIT');
$canceller->quit;
wait_until($node, 'postgres', qq{(SELECT generation = $generation AND status = 'ready' FROM readmodel.status() WHERE name = 'orders')
    AND NOT EXISTS (SELECT FROM pg_locks WHERE relation = $oid)}, 'it is given up meanwhile');
unlike(slurp_file($node->logfile, $log), qr/could not be carried over|could not take over/, '.. which the log does not complain of');
$reader->query_safe('COMMIT');
$reader->quit;

# There is never a moment without a reader.
my $script = $node->basedir . '/read.pgbench';
append_to_file($script, "BEGIN;\nSELECT count(*) FROM readmodel.orders;\n\\sleep 30 ms\nCOMMIT;\n");
my $output = '';
my $readers = IPC::Run::start([ $node->installed_command('pgbench'), '-n', '-h', $node->host, '-p', $node->port, '-c', 6, '-j', 2,
    '-T', 600, '-f', $script, 'postgres' ], '<', \undef, '>&', \$output);
wait_until($node, 'postgres', q{count(*) >= 3 FROM pg_locks WHERE relation = 'readmodel.orders'::regclass AND granted}, 'readers overlap');
$generation = define('7');
wait_until($node, 'postgres', "serving = $generation FROM readmodel_catalog.query", 'readers who overlap do not keep it out for ever');
$readers->signal('TERM');
$readers->finish;
unlike($output, qr/ERROR/, '.. and none of them met an error');

# --- an index is its owner's code, also where only its constants are folded
$node->safe_psql('postgres', q{
    CREATE ROLE indexer;
    SELECT readmodel.grant_definer('indexer');
    GRANT SELECT ON public.events TO indexer;
    CREATE FUNCTION public.told_who(n int) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
    BEGIN
        RAISE LOG 'an index is read as %', current_user;
        RETURN n::text;
    END $$});
my $define_indexed = q{SET SESSION AUTHORIZATION indexer;
    SELECT readmodel.define_query('indexed', 'shop', spec => '{"key": "$event.stream", "on": {"*": {"add": {"%s": 1}}}}')};
$node->safe_psql('postgres', sprintf($define_indexed, 'a'));
wait_until($node, 'postgres', q{readmodel.readiness('indexed') = 'ready'}, 'a query of a role without rights is ready');
$node->safe_psql('postgres', q{SET SESSION AUTHORIZATION indexer;
    DO $$ BEGIN EXECUTE format('CREATE INDEX ON %s ((public.told_who(1) || id))', readmodel.state_table('indexed')); END $$});
my $logged = -s $node->logfile;
$node->safe_psql('postgres', sprintf($define_indexed, 'b'));
wait_until($node, 'postgres', q{(SELECT serving_generation = 2 FROM readmodel.status() WHERE name = 'indexed')}, 'the new one has taken over');
my $lines = slurp_file($node->logfile, $logged);
like($lines, qr/an index is read as indexer/, 'the index was carried over');
unlike($lines, qr/an index is read as (?!indexer)/, 'and read as its owner, by nobody else');

$node->stop;
done_testing();
