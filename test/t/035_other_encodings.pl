# In a database with another encoding than UTF8 a spec is refused, with a hint, and function updaters work.
#
# Guards query/definition.cpp: texts of jsonb are in the database's encoding, and src/fold reads UTF-8. Seen to fail without the check.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use ReadModelCluster;

my $node = new_server('encodings', 'readmodel.poll_interval = 100');

foreach my $encoding (qw(LATIN1 SQL_ASCII))
{
    my $database = lc $encoding;
    $node->safe_psql('postgres', "CREATE DATABASE $database ENCODING '$encoding' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0");
    make_shop($node, $database);

    my $spec = q{'{"key": "$.customer", "on": {"OrderPlaced": {"add": {"orders": 1}}}}'};
    foreach my $call ("readmodel.define_query('by spec', 'shop', spec => $spec)", "readmodel.definition_hash('shop', spec => $spec)")
    {
        my ($result, $out, $error) = $node->psql($database, "SELECT $call", extra_params => [ '-v', 'VERBOSITY=verbose' ]);
        like($error, qr/ERROR:  0A000: declarative updaters need a database with encoding UTF8\nDETAIL:  The encoding of this one is $encoding\.\nHINT:  /,
            "$encoding: $call is refused");
    }
    is($node->safe_psql($database, 'SELECT count(*) FROM readmodel.status()'), '0', "$encoding: nothing was defined");

    append_orders($node, $database, 50);
    define_orders($node, $database);
    wait_ready($node, $database, "$encoding: a function updater becomes ready");
    states_equal_oracle($node, $database, "$encoding: and its states are right");
    # A character of which UTF-8 makes two bytes.
    $node->safe_psql($database, q{INSERT INTO public.events (stream_id, type, data) VALUES (E'Zo\xEB', 'OrderPlaced', '{"amount": 7}')});
    wait_tail($node, $database, "$encoding: the tail goes on");
    is($node->safe_psql($database, q{SELECT state ->> 'total' FROM readmodel.orders WHERE id = E'Zo\xEB'}), '7', "$encoding: with ids of its own encoding");
}

$node->stop;
done_testing();
