# The README's chapter "When something fails": each situation is brought about, and its SQL, as it stands, ends it.
# Seen to fail with another name of a function, another query and another option in the README.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use ReadModelCluster;

open(my $readme, '<:encoding(UTF-8)', '../README.md') or BAIL_OUT("cannot read README.md: $!");
my $text = do { local $/; <$readme> };
close($readme);
my %sql = $text =~ /^<!-- failures: (\w+) -->\n\n```sql\n(.*?)^```$/msg;
is(join(' ', sort keys %sql), 'crash define letters lock look rebuild retry skip slow', 'the README has its situations');

my $node = new_server('failing');
$node->safe_psql('postgres', q{
    CREATE EXTENSION pg_readmodel;
    CREATE SCHEMA shop;
    SELECT readmodel.create_event_table('shop.events');
    SELECT readmodel.create_source('shop', 'shop.events');
    CREATE TABLE shop.fault (does text);
    CREATE FUNCTION shop.customer(state jsonb, event jsonb) RETURNS jsonb LANGUAGE plpgsql STABLE AS $$
    DECLARE
        bad constant boolean := event -> 'data' ? 'bad';
    BEGIN
        IF bad AND EXISTS (SELECT FROM shop.fault WHERE does = 'raise') THEN
            RAISE EXCEPTION 'no such customer';
        ELSIF bad AND EXISTS (SELECT FROM shop.fault WHERE does = 'sleep') THEN
            PERFORM pg_sleep(600);
        ELSIF bad AND EXISTS (SELECT FROM shop.fault WHERE does = 'end') THEN
            PERFORM pg_terminate_backend(pg_backend_pid());
        END IF;
        RETURN coalesce(state, '[]') || (event -> 'position');
    END $$;
    CREATE FUNCTION shop.customer_2(state jsonb, event jsonb) RETURNS jsonb LANGUAGE sql
        RETURN coalesce(state, '[]') || (event -> 'position');
});
my $define = q{SELECT readmodel.define_query('customers', 'shop', 'shop.customer(jsonb, jsonb)', key => $$data ->> 'customer'$$)};

# A query of which the event at position 4 fails in some way.
sub begin
{
    my ($fault) = @_;
    $node->safe_psql('postgres', q{SELECT readmodel.drop_query(name) FROM readmodel.status();
        SELECT readmodel.drop_source('shop'); DROP TABLE shop.events; DELETE FROM shop.fault;
        SELECT readmodel.create_event_table('shop.events'); SELECT readmodel.create_source('shop', 'shop.events')});
    $node->safe_psql('postgres', qq{
        INSERT INTO shop.fault VALUES ('$fault');
        INSERT INTO shop.events (stream_id, type, data)
        SELECT 's', 'Seen', '{"customer": "ada"}'::jsonb || CASE WHEN i = 4 THEN '{"bad": true}' ELSE '{}'::jsonb END
        FROM generate_series(1, 6) i;
        $define});
    return;
}

sub status_becomes
{
    my ($condition, $what) = @_;
    wait_until($node, 'postgres', "(SELECT $condition FROM readmodel.status() WHERE name = 'customers')", $what);
}

sub ready_with
{
    my ($positions, $what) = @_;
    status_becomes(q{status = 'ready' AND position = head_position}, "$what: it is ready");
    is($node->safe_psql('postgres', 'SELECT state FROM readmodel.customers'), "[$positions]", "$what: with these events");
}

begin('raise');
status_becomes(q{status = 'failed'}, 'an updater that raises fails');
like($node->safe_psql('postgres', $sql{look}), qr/^customers\|failed\|updater_error: SQLSTATE P0001 at position 4\|P0001\|no such customer\|4\n4\|/,
    'look: the query and its event are shown');
$node->safe_psql('postgres', "DELETE FROM shop.fault; $sql{retry}");
ready_with('1, 2, 3, 4, 5, 6', 'retry');

begin('raise');
status_becomes(q{status = 'failed'}, 'it fails once more');
$node->safe_psql('postgres', $sql{define});
ready_with('1, 2, 3, 4, 5, 6', 'define');
is($node->safe_psql('postgres', q{SELECT generation FROM readmodel.status()}), 2, 'define: as another generation');

begin('raise');
status_becomes(q{status = 'failed'}, 'and again');
$node->safe_psql('postgres', $sql{skip});
ready_with('1, 2, 3, 5, 6', 'skip');
$node->safe_psql('postgres', 'DELETE FROM shop.fault');
my @letters = split /;[^\n]*\n/, $sql{letters};
is(scalar @letters, 4, 'letters: four statements');
like($node->safe_psql('postgres', $letters[0]), qr/^1\|4\|P0001\|no such customer\|/, 'letters: they are listed');
is($node->safe_psql('postgres', $letters[1]), 1, 'letters: one is applied');
ready_with('1, 2, 3, 4, 5, 6', 'letters');
is($node->safe_psql('postgres', $letters[2]), 0, 'letters: none is left');
begin('raise');
$node->safe_psql('postgres', $sql{skip});
ready_with('1, 2, 3, 5, 6', 'skip again');
$node->safe_psql('postgres', $letters[3]);
is($node->safe_psql('postgres', $letters[0]), '', 'letters: one is discarded');

begin('sleep');
status_becomes(q{worker_pid IS NOT NULL}, 'slow: a worker has it');
ok($node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND backend_type ~ '^pg_readmodel'}),
    'slow: and hangs');
$node->safe_psql('postgres', $sql{slow});
status_becomes(q{status = 'failed'}, 'slow: it fails');
is($node->safe_psql('postgres', 'SELECT error_message FROM readmodel.status()'),
    'the updater ran longer than the option updater_timeout (2000 ms) for one event', 'slow: and the status says why');

$node->restart;
begin('end');
status_becomes(q{status = 'failed' AND error_sqlstate = '58000'}, 'crash: it fails the third time');
$node->safe_psql('postgres', "DELETE FROM shop.fault; $sql{crash}");
ready_with('1, 2, 3, 4, 5, 6', 'crash');

$node->safe_psql('postgres', 'DELETE FROM shop.events WHERE position > 2; ALTER SEQUENCE shop.events_position_seq RESTART WITH 3');
status_becomes(q{status = 'failed' AND reason LIKE 'source_rewound%'}, 'rebuild: the sequence went back');
$node->safe_psql('postgres', $sql{rebuild});
ready_with('1, 2', 'rebuild');

my $session = $node->background_psql('postgres');
my $pid = $session->query_safe('SELECT pg_backend_pid()');
$session->query_safe('BEGIN; LOCK TABLE shop.events');
status_becomes(q{reason LIKE 'lock%'}, 'lock: it is stalled');
like($node->safe_psql('postgres', $sql{lock}), qr/^customers\|$pid\|.*LOCK TABLE shop.events/, 'lock: and shows who is in the way');
$session->query_safe('COMMIT');
$session->quit;
status_becomes(q{status = 'ready'}, 'lock: it goes on by itself');

begin('raise');
status_becomes(q{status = 'failed'}, 'replaced: it fails');
my (undef, undef, $told) = $node->psql('postgres', q{SELECT readmodel.get('customers', 'ada'::text)});
like($told, qr/DETAIL:  updater_error: .*HINT:  .*Correct the event, or what the updater needs, .* call readmodel\.retry\(\)/s, 'replaced: get says what to do');
unlike($told, qr/cancel_rebuild/, 'replaced: there is no older generation to go back to');
$node->safe_psql('postgres', q{CREATE OR REPLACE FUNCTION shop.customer(state jsonb, event jsonb) RETURNS jsonb LANGUAGE sql
    RETURN coalesce(state, '[]') || (event -> 'position')});
ready_with('1, 2, 3, 4, 5, 6', 'replaced, and no call was needed');
is($node->safe_psql('postgres', q{SELECT generation FROM readmodel.status()}), 2, 'replaced: as another generation');

$node->stop;
done_testing();
