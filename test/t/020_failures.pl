# What goes wrong in one query stops that query alone, at its place, with everything before it kept.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use ReadModelCluster;

my $node = new_server('failures', 'log_statement = none');    # the payload shall not be in the log
make_shop($node, 'postgres');

# The same fold, through an updater that can be made to fail: what it does with an amount is looked up in a table.
my $fragile = q{
    CREATE OR REPLACE FUNCTION public.fragile(state jsonb, event jsonb) RETURNS jsonb LANGUAGE plpgsql STABLE AS $$
    DECLARE
        does text := (SELECT fault FROM public.faults WHERE amount = (event #>> '{data,amount}')::bigint);
    BEGIN
        IF does = 'raise' THEN
            RAISE EXCEPTION 'no order of %', event #>> '{data,amount}' USING ERRCODE = 'ZZ123';
        ELSIF does = 'endless' THEN
            LOOP END LOOP;
        END IF;
        RETURN public.order_placed(state, event);
    END $$};
my $define = q{SELECT readmodel.define_query('fragile', 'shop', 'public.fragile(jsonb, jsonb)', key => 'stream')};
$node->safe_psql('postgres', "CREATE TABLE public.faults (amount bigint PRIMARY KEY, fault text); $fragile; $define");
define_orders($node, 'postgres');
append_orders($node, 'postgres', 50);
my $reached = 50;
wait_ready($node, 'postgres', 'the query that does not fail becomes ready');
fragile_ready('the other one too');

sub status_of_fragile
{
    my ($columns) = @_;
    return $node->safe_psql('postgres', "SELECT $columns FROM readmodel.status() WHERE name = 'fragile'");
}

sub fragile_fails
{
    my ($what) = @_;
    wait_until($node, 'postgres', q{readmodel.readiness('fragile') = 'failed'}, $what);
}

sub fragile_ready
{
    my ($what) = @_;
    wait_until($node, 'postgres', q{readmodel.ready(ARRAY['fragile'])}, $what);
    $reached = $node->safe_psql('postgres', 'SELECT max(position) FROM public.events');
    $node->safe_psql('postgres', "SELECT readmodel.wait_for('fragile', $reached, '20 s')");
    equal_up_to($node, 'postgres', 'fragile', $reached, "$what: its states are right");
}

# What follows is appended while the one query has failed.
sub others_go_on
{
    my ($what) = @_;
    append_orders($node, 'postgres', 20);
    is($node->safe_psql('postgres', q{SELECT readmodel.readiness('orders')}), 'ready', "$what: the other query is ready");
    states_equal_oracle($node, 'postgres', "$what: and goes on");
    is(status_of_fragile('position'), $reached, "$what: the failed one stands where it stood");
    equal_up_to($node, 'postgres', 'fragile', $reached, "$what: with all that came before");
}

# --- the updater raises, in the middle of a batch
my $secret = 123456789123;
my $log = -s $node->logfile;
$node->safe_psql('postgres', "INSERT INTO public.faults VALUES ($secret, 'raise')");
my $failing = $node->safe_psql('postgres', qq{
    WITH appended AS (
        INSERT INTO public.events (stream_id, type, data)
        SELECT 'customer ' || (i % 3), 'OrderPlaced', jsonb_build_object('amount', CASE i WHEN 6 THEN $secret ELSE i END)
        FROM generate_series(1, 10) i RETURNING position, data)
    SELECT position FROM appended WHERE data @> '{"amount": $secret}'});
$reached = $failing - 1;
fragile_fails('an updater that raises makes its query failed');
is(status_of_fragile('reason, error_sqlstate, error_message, error_position, position'),
    "updater_error: SQLSTATE ZZ123 at position $failing|ZZ123|no order of $secret|$failing|$reached",
    'the status tells what happened where');
others_go_on('after an error');
my $said = substr(slurp_file($node->logfile), $log);
like($said, qr/WARNING: .*"fragile" failed at position $failing\b/, 'the log has the position');
like($said, qr/DETAIL: .*SQLSTATE ZZ123, SHA-256 of the event's data [0-9a-f]{64}/, 'the SQLSTATE and a digest of the payload');
unlike($said, qr/no order of|$secret/, 'but neither the message, which quotes the payload, nor the payload');

my (undef, undef, $error) = $node->psql('postgres', "\\set VERBOSITY sqlstate\nSELECT readmodel.get('fragile', 'customer 1')");
like($error, qr/RM002/, 'a failed query is not read');

# Retried with the cause still there, it fails at the same event again; nothing is applied twice on the way.
$node->safe_psql('postgres', q{SELECT readmodel.retry('fragile')});
fragile_fails('retried with its cause still there, it fails again');
is(status_of_fragile('error_position, position'), "$failing|$reached", 'at the same event');
$node->safe_psql('postgres', q{DELETE FROM public.faults; SELECT readmodel.retry('fragile')});
fragile_ready('retried without its cause, it goes on');
is(status_of_fragile('generation'), 1, 'as the same generation');

# --- the updater is mended instead: another definition, built from the start
$node->safe_psql('postgres', "INSERT INTO public.faults VALUES ($secret, 'raise')");
$failing = append_order($node, 'postgres', 'customer 1', $secret);
$reached = $failing - 1;
fragile_fails('it fails once more');
(my $mended = $fragile) =~ s/RAISE EXCEPTION.*?;/NULL;/s;
$node->safe_psql('postgres', "$mended; $define");
fragile_ready('with a mended updater it is built anew');
is(status_of_fragile('generation'), 2, 'as the next generation');

# --- the updater is replaced, and nobody defines the query again
(my $replaced = $fragile) =~ s/no order of/never an order of/;
$node->safe_psql('postgres', 'DELETE FROM public.faults');
$node->safe_psql('postgres', $replaced);
append_orders($node, 'postgres', 3);
fragile_ready('a live query whose updater was replaced is built anew by itself');
wait_until($node, 'postgres', q{generation = 3 AND status = 'ready' FROM readmodel.status() WHERE name = 'fragile'}, 'as the next generation');
$node->safe_psql('postgres', $define);
fragile_ready('defined again it is ready');
is(status_of_fragile('generation'), 3, 'as the same generation');

# --- the table of states refuses
my $states = $node->safe_psql('postgres', q{SELECT readmodel.state_table('fragile')});
$node->safe_psql('postgres', "ALTER TABLE $states ADD CONSTRAINT small CHECK ((state ->> 'total')::bigint < 1000000000000)");
append_order($node, 'postgres', 'customer 2', 1000000000001);
fragile_fails('a check constraint on the table of states makes the query failed');
is(status_of_fragile('error_sqlstate'), '23514', 'with its SQLSTATE');
others_go_on('after a check constraint');
$node->safe_psql('postgres', "ALTER TABLE $states DROP CONSTRAINT small; SELECT readmodel.retry('fragile')");
fragile_ready('retried without the constraint, it goes on');

$node->safe_psql('postgres', qq{
    CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS \$\$
        BEGIN RAISE EXCEPTION 'refused' USING ERRCODE = 'ZZ456'; END \$\$;
    CREATE TRIGGER refuse AFTER INSERT OR UPDATE ON $states FOR EACH ROW
        WHEN (NEW.id = 'customer 7') EXECUTE FUNCTION public.refuse()});
append_order($node, 'postgres', 'customer 7', 1);
fragile_fails('a trigger on the table of states makes the query failed');
is(status_of_fragile('error_sqlstate, error_message'), 'ZZ456|refused', 'with its error');
others_go_on('after a trigger');
$node->safe_psql('postgres', "DROP TRIGGER refuse ON $states; SELECT readmodel.retry('fragile')");
fragile_ready('retried without the trigger, it goes on');

# --- the updater does not end
$node->append_conf('postgresql.conf', 'readmodel.updater_timeout = 300');
$node->reload;
$node->safe_psql('postgres', "INSERT INTO public.faults VALUES ($secret, 'endless')");
$failing = append_order($node, 'postgres', 'customer 3', $secret);
$reached = $failing - 1;
fragile_fails('an updater that does not end is cancelled');
is(status_of_fragile('error_sqlstate, error_position, error_message'),
    "57014|$failing|the updater ran longer than readmodel.updater_timeout (300 ms) for one event", 'and the status says so');
others_go_on('after an endless updater');
$node->safe_psql('postgres', q{DELETE FROM public.faults; SELECT readmodel.retry('fragile')});
fragile_ready('retried without its cause, it goes on');

$node->stop;
done_testing();
