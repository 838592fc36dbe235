# catch_up is about the newest generation: an older one that cannot go on does not keep it from being caught up, and where the newest
# cannot, it says so.
#
# Guards CatchUp::load, CatchUp::tell_of_newest and the look at a pause in query::take_over. Seen to fail where load refuses whatever generation was changed, without
# tell_of_newest, with the source loaded only once, and where a pause is not looked at once the view is locked.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use ReadModelCluster;

my $node = new_server('catch_up_of_several', 'readmodel.enabled = off');
make_shop($node, 'postgres');
append_orders($node, 'postgres', 30);

sub updater
{
    my ($name, $body) = @_;
    $node->safe_psql('postgres', qq{CREATE OR REPLACE FUNCTION public.$name(state jsonb, event jsonb) RETURNS jsonb LANGUAGE plpgsql AS \$\$
        BEGIN $body END \$\$});
}

my $counts = q{RETURN jsonb_build_object('steps', coalesce((state ->> 'steps')::integer, 0) + %d);};

sub define
{
    my ($query, $options) = @_;
    return $node->safe_psql('postgres', "SELECT readmodel.define_query('$query', 'shop', 'public.$query(jsonb, jsonb)', key => 'stream', "
            . "options => '@{[ $options // '{}' ]}')");
}

# What psql writes to the standard error.
sub catch_up
{
    my ($query) = @_;
    my ($result, $output, $errors) = $node->psql('postgres', "CALL readmodel.catch_up('$query')", extra_params => [ '-v', 'VERBOSITY=verbose' ]);
    return $errors;
}

sub steps { my ($query) = @_; return $node->safe_psql('postgres', qq{SELECT sum((state ->> 'steps')::integer) FROM readmodel."$query"}) }

# No worker has seen that the older one's updater was replaced.
updater('replaced', sprintf $counts, 1);
define('replaced');
is(catch_up('replaced'), '', 'the first generation is caught up');
updater('replaced', sprintf $counts, 2);
like(catch_up('replaced'), qr/ERROR:  55000: the updater of query "replaced" was changed\nHINT:  Call readmodel\.define_query\(\) again/,
    'its updater is replaced, so it is refused, and told what to do');
is(define('replaced'), 2, 'that is done');
is(catch_up('replaced'), '', 'so the new generation is caught up');
is(steps('replaced'), 60, 'and serves');
append_orders($node, 'postgres', 10);
is(catch_up('replaced'), '', 'and goes on');
is(steps('replaced'), 80, 'with the events that follow');

# Nor does a table of states that went with its updater.
updater('dropped', sprintf $counts, 1);
updater('replaced', sprintf $counts, 2);
define('dropped');
is(catch_up('dropped'), '', 'another query is caught up');
$node->safe_psql('postgres', q{SELECT readmodel.define_query('dropped', 'shop', 'public.replaced(jsonb, jsonb)', key => 'stream')});
is(catch_up('dropped'), '', 'with a second generation too');
$node->safe_psql('postgres', 'SET client_min_messages = warning; DROP FUNCTION public.dropped(jsonb, jsonb) CASCADE');
append_orders($node, 'postgres', 10);
is(catch_up('dropped'), '', 'the updater of the older one is dropped with its states, and the newer one goes on');
is(steps('dropped'), 100, 'with the events that follow');

# The newest has failed.
updater('fails', q{IF (event ->> 'position')::bigint = 7 THEN RAISE EXCEPTION 'seven'; END IF; RETURN '{}';});
define('fails');
like(catch_up('fails'), qr/ERROR:  38000: query "fails" could not apply the event at position 7\n/, 'a query fails');
like(catch_up('fails'), qr/ERROR:  RM002: query "fails" has failed\nDETAIL:  updater_error: SQLSTATE P0001 at position 7\nHINT:  .*readmodel\.retry\(\)/,
    'called again it says that it has failed');
define('fails', '{"on_error": "skip"}');
$node->safe_psql('postgres', q{SELECT readmodel.retry('fails')});
unlike(catch_up('fails'), qr/ERROR/, 'it can be retried');

# The newest waits for a decision.
updater('gated', sprintf $counts, 1);
define('gated');
is(catch_up('gated'), '', 'a query is caught up');
define('gated', '{"on_change": "gate", "version": "2"}');
append_orders($node, 'postgres', 10);
like(catch_up('gated'), qr/NOTICE:  00000: generation 2 of query "gated" waits for an operator's decision\nHINT: /,
    'the newest waits for a decision, which is told');
is(steps('gated'), 60, 'the one that serves is caught up');

# The mapping is changed, and the query defined with it, while a session applies events by the one before.
updater('mapped', q{PERFORM pg_advisory_xact_lock_shared(1); RETURN jsonb_build_object('mapped', event #> '{data,mapped}');});
define('mapped');
my $holder = $node->background_psql('postgres');
$holder->query_safe('SELECT pg_advisory_lock(1)');
my $session = $node->background_psql('postgres', on_error_stop => 0);
$session->query_until(qr/begins/, qq{\\echo begins\nCALL readmodel.catch_up('mapped');\n});
wait_until($node, 'postgres', q{EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted)}, 'a session is at the first event');
$node->safe_psql('postgres', q{UPDATE readmodel_catalog.source SET data_expression = $$data || '{"mapped": true}'$$});
is(define('mapped'), 2, 'the mapping is changed');
$node->safe_psql('postgres', 'ALTER FUNCTION public.mapped(jsonb, jsonb) COST 200'); # it looks again
$holder->query_safe('SELECT pg_advisory_unlock(1)');
$holder->quit;
$session->query('SELECT 1');
$session->quit;
is(catch_up('mapped'), '', 'the new generation is caught up');
is($node->safe_psql('postgres', q{SELECT DISTINCT state FROM readmodel.mapped}), '{"mapped": true}', 'by the mapping that it was defined with');

# A pause comes before the takeover that waits for a reader of the view.
$node->safe_psql('postgres', q{ALTER SYSTEM SET readmodel.lock_timeout = '1 min'});
$node->reload;
updater('paused', sprintf $counts, 1);
define('paused');
is(catch_up('paused'), '', 'a query is caught up');
updater('paused', sprintf $counts, 2);
define('paused');
my $reader = $node->background_psql('postgres');
$reader->query_safe('BEGIN; SELECT count(*) FROM readmodel.paused');
$session = $node->background_psql('postgres', on_error_stop => 0);
$session->query_until(qr/begins/, qq{\\echo begins\nCALL readmodel.catch_up('paused');\n});
wait_until($node, 'postgres', q{(SELECT position = (SELECT max(position) FROM public.events) FROM readmodel.generations('paused') WHERE generation = 2)},
    'a session has applied everything');
$node->safe_psql('postgres', q{SET client_min_messages = warning; SELECT readmodel.pause('paused')});
$reader->query_safe('COMMIT');
$reader->quit;
$session->query('SELECT 1');
$session->quit;
is($node->safe_psql('postgres', q{SELECT status, serving_generation FROM readmodel.status() WHERE name = 'paused'}), 'paused|1',
    'it is paused before the takeover, and stays as it was');
$node->safe_psql('postgres', q{SET client_min_messages = warning; SELECT readmodel.resume('paused')});
is(catch_up('paused'), '', 'it is resumed');
is($node->safe_psql('postgres', q{SELECT serving_generation FROM readmodel.status() WHERE name = 'paused'}), 2, 'and taken over');

$node->stop;
done_testing();
