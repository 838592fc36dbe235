# Whatever a table of states has got besides the states, and wherever its rows have gone, they are written as SQL would write them.
#
# Guards query/state_rows.cpp. Seen to fail with rows updated where they were seen last without a look at the id, without index
# entries after an update that is not HOT, without the constraints, and with triggers passed over.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use ReadModelCluster;

my $node = new_server('states', 'readmodel.poll_interval = 100', 'autovacuum = off');
make_shop($node, 'postgres');
append_orders($node, 'postgres', 200);
define_orders($node, 'postgres');
wait_ready($node, 'postgres', 'the query becomes ready');
my $table = $node->safe_psql('postgres', q{SELECT readmodel.state_table('orders')});

sub sql { return $node->safe_psql('postgres', $_[0]) }

# A page that the tail folds and writes; what it has in memory after it is what it wrote.
sub goes_on
{
    my ($what) = @_;
    append_orders($node, 'postgres', 40);
    wait_tail($node, 'postgres', $what);
    states_equal_oracle($node, 'postgres', "$what: the states are right");
    is(sql(qq{SET enable_seqscan = off; SET enable_bitmapscan = off; SELECT count(*) FROM $table WHERE id > ''}),
        sql(qq{SET enable_indexscan = off; SET enable_indexonlyscan = off; SELECT count(*) FROM $table}),
        "$what: the primary key knows all rows");
}

goes_on('a table as it was created');

# --- rows that lie elsewhere than when they were seen last
sub while_written
{
    my ($statement, $what) = @_;
    $node->safe_psql('postgres', qq{
        INSERT INTO public.events (stream_id, type, data)
        SELECT 'customer ' || (i % 20), 'OrderPlaced', jsonb_build_object('amount', 1) FROM generate_series(1, 400) i});
    sql($_) foreach @{$statement};
    goes_on($what);
}
while_written(["VACUUM FULL $table"], 'after VACUUM FULL');
while_written(["CLUSTER $table USING " . sql("SELECT relname FROM pg_class JOIN pg_constraint ON conindid = pg_class.oid WHERE conrelid = '$table'::regclass AND contype = 'p'")],
    'after CLUSTER');
while_written(["UPDATE $table SET updated_at = now()"], 'after an UPDATE by the owner');
while_written(["VACUUM $table"], 'after VACUUM');

# --- indexes: on an expression of the state no update is HOT
sql("CREATE INDEX ON $table ((state ->> 'orders')); CREATE INDEX ON $table USING gin (state); CREATE UNIQUE INDEX ON $table (position, id)");
goes_on('with indexes on the state');
is(sql(qq{SET enable_seqscan = off; SELECT count(*) > 0, count(*) = count(*) FILTER (WHERE found) FROM $table AS t,
          LATERAL (SELECT EXISTS (SELECT FROM $table AS s WHERE s.state ->> 'orders' = t.state ->> 'orders' AND s.id = t.id) AS found) x}),
    't|t', 'every row is found by the index on an expression');

# --- triggers
sql(qq{CREATE TABLE public.seen (operation text, id text);
    CREATE FUNCTION public.see() RETURNS trigger LANGUAGE plpgsql AS \$\$
        BEGIN INSERT INTO public.seen VALUES (TG_OP, NEW.id); RETURN NEW; END \$\$;
    CREATE TRIGGER see AFTER INSERT OR UPDATE ON $table FOR EACH ROW EXECUTE FUNCTION public.see()});
goes_on('with a trigger');
is(sql(q{SELECT count(DISTINCT id) FROM public.seen WHERE operation = 'UPDATE'}), '20', 'it was called for each row');
sql("DROP TRIGGER see ON $table");

# --- more columns, a default among them
sql("ALTER TABLE $table ADD note text DEFAULT 'a default'");
sql(q{INSERT INTO public.events (stream_id, type, data) VALUES ('a new customer', 'OrderPlaced', '{"amount": 5}')});
goes_on('with one more column');
is(sql("SELECT note FROM $table WHERE id = 'a new customer'"), 'a default', 'a new row has its default');
sql("ALTER TABLE $table DROP note");
goes_on('with a column that was dropped');

# --- a constraint that a state comes to violate: the message is the server's
define_orders($node, 'postgres');
sql(q{SELECT readmodel.drop_query('orders')});
define_orders($node, 'postgres');
wait_ready($node, 'postgres', 'built anew');
$table = sql(q{SELECT readmodel.state_table('orders')});
goes_on('the new table');
sql(qq{ALTER TABLE $table ADD CONSTRAINT few CHECK ((state ->> 'total')::bigint < 1000000)});
goes_on('with a constraint that holds');
sql(q{INSERT INTO public.events (stream_id, type, data) VALUES ('customer 1', 'OrderPlaced', '{"amount": 2000000}')});
wait_until($node, 'postgres', q{readmodel.readiness('orders') = 'failed'}, 'a state that violates it fails the query');
like(sql(q{SELECT error_sqlstate || error_message FROM readmodel.status() WHERE name = 'orders'}),
    qr/^23514new row for relation "g_\d+" violates check constraint "few"$/, 'as the server says it');
sql("ALTER TABLE $table DROP CONSTRAINT few; SELECT readmodel.retry('orders')");
wait_ready($node, 'postgres', 'it goes on without the constraint');
goes_on('without it');

# --- a unique index that a new row violates
sql(qq{
    CREATE UNIQUE INDEX twins ON $table ((left(id, 4))) WHERE id LIKE 'twin%'});
sql(q{INSERT INTO public.events (stream_id, type, data) VALUES ('twin 1', 'OrderPlaced', '{"amount": 1}'), ('twin 2', 'OrderPlaced', '{"amount": 1}')});
wait_until($node, 'postgres', q{readmodel.readiness('orders') = 'failed'}, 'a row that violates a unique index fails the query');
is(sql(q{SELECT error_sqlstate || ' ' || error_message FROM readmodel.status() WHERE name = 'orders'}),
    '23505 duplicate key value violates unique constraint "twins"', 'as the server says it');
sql("DROP INDEX readmodel_data.twins; SELECT readmodel.retry('orders')");
wait_ready($node, 'postgres', 'it goes on without the index');
goes_on('without the index');


# --- a rebuild remembers where its rows are from one flush to the next, and between two of them somebody puts others there
# In a database of its own, where nobody else writes.
sub in_moved { return $node->safe_psql('moved', $_[0]) }
sub setting { $node->safe_psql('postgres', "ALTER SYSTEM SET readmodel.$_[0]"); $node->reload }
setting($_) foreach 'batch_size = 20', 'flush_interval = 10', 'rebuild_rate_limit = 60';
$node->safe_psql('postgres', 'CREATE DATABASE moved');
make_shop($node, 'moved');
in_moved(q{SELECT readmodel.create_event_table('public.other');
    INSERT INTO public.other (stream_id, type, data)
    SELECT 'customer ' || (i % 40), 'OrderPlaced', jsonb_build_object('amount', i) FROM generate_series(1, 3000) i;
    SELECT readmodel.create_source('other', 'public.other')});
in_moved(q{SELECT readmodel.define_query('moved', 'other', 'public.order_placed(jsonb, jsonb)', key => 'stream')});
$table = in_moved(q{SELECT readmodel.state_table('moved')});
in_moved("CREATE INDEX another_order ON $table (md5(id))");
wait_until($node, 'moved', "(SELECT count(*) = 40 FROM $table)", 'all rows are there');
my $was = in_moved("SELECT string_agg(id, ',' ORDER BY ctid) FROM $table");
my $first = in_moved('SELECT pg_current_xact_id()');
in_moved("CLUSTER $table USING another_order");
is(in_moved(q{SELECT readmodel.readiness('moved')}), 'rebuilding', 'the rebuild is on its way');
isnt(in_moved("SELECT string_agg(id, ',' ORDER BY ctid) FROM $table"), $was, 'the rows are in another order');
setting('rebuild_rate_limit = 0');
wait_until($node, 'moved', q{readmodel.readiness('moved') <> 'rebuilding'}, 'it ends');
is(in_moved(q{SELECT status, error_message FROM readmodel.status() WHERE name = 'moved'}), 'ready|', 'and has not failed');
is(in_moved(q{SELECT count(*), count(*) FILTER (WHERE state IS DISTINCT FROM expected) FROM readmodel.moved
    FULL JOIN (SELECT stream_id AS id, jsonb_build_object('orders', count(*), 'total', sum((data ->> 'amount')::bigint),
                   'positions', jsonb_agg(position ORDER BY position)) AS expected
               FROM public.other GROUP BY 1) oracle USING (id)}), '40|0', 'all states are right');
# The primary key would have stopped a row that is written over another one, and all would have been done again. A page that is only
# read may be.
is(in_moved(qq{SELECT count(*) FILTER (WHERE status = 'aborted'), count(*) FILTER (WHERE status = 'committed') > 2
    FROM generate_series($first, pg_snapshot_xmax(pg_current_snapshot())::text::bigint - 1) AS x, pg_xact_status(x::text::xid8) AS status}),
    '0|t', 'nothing that was written was aborted and done again');

$node->stop;
done_testing();
