# Every endpoint, its status codes, bodies and headers, to the letter.
use strict;
use warnings;
use utf8;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;
use HttpService;
use ReadModelCluster;

my $node = new_server('contract');
make_shop($node, 'postgres');
$node->safe_psql('postgres', q{
    CREATE ROLE web LOGIN;
    SELECT readmodel.grant_reader('web')});
my $service = HttpService->new($node);

sub headers_are
{
    my ($response, $expected, $what) = @_;
    my %got = map { $_ => $response->{headers}{$_} } keys %$expected;
    is_deeply(\%got, $expected, $what) or diag(explain($response));
}

# --- without queries ---

$service->answers('/health', 200, '{"status":"ok"}', '/health');
$service->wait_status('/ready', 200, 'the database is there');
$service->answers('/ready', 200, '{"status":"ready"}', '/ready without queries');
$service->answers('/queries', 200, '[]', '/queries without queries');
headers_are($service->get('/health'), {'content-type' => 'application/json', 'cache-control' => 'no-store', 'content-length' => 15},
    'headers of /health');

# --- one ---

append_orders($node, 'postgres', 100);
define_orders($node, 'postgres');
wait_ready($node, 'postgres', 'the query becomes ready');
$node->safe_psql('postgres', 'GRANT SELECT ON readmodel.orders TO web');
my $hash = $node->safe_psql('postgres', 'SELECT definition_hash FROM readmodel.status()');
my $other_hash = 'f' x 64;

$service->answers('/ready', 200, '{"status":"ready"}', '/ready');
my %one = ('x-query-status' => 'ready', 'x-query-generation' => 1, 'x-query-definition-hash' => $hash);
headers_are($service->get('/ready?query=orders'), \%one, '/ready of one query says which generation and definition it means');
headers_are($service->get("/ready?query=orders&hash=$hash"), \%one, 'so it does for a hash');
headers_are($service->get('/ready'), {map { $_ => undef } keys %one}, '/ready of all names none');
headers_are($service->get('/ready?query=orders&query=orders'), \%one, 'a name that is repeated is one all the same');
for (['/ready?query=orders&query=nobody', 'query'], ["/ready?query=orders&hash=$other_hash", 'definition_hash'])
{
    my ($path, $reason) = @$_;
    my $unknown = $service->get($path);
    is($unknown->{status}, 503, "$path: 503");
    is(join(' ', @{decode_json($unknown->{content})}{qw(status reason)}), "unknown $reason", "$path: unknown");
}

is_deeply($service->json('/queries'),
    [{name => 'orders', status => 'ready', reason => undef, served => 'ready', servedGeneration => 1, servedDefinitionHash => $hash, generation => 1,
      definitionHash => $hash, position => 100, lag => 0, estimatedSecondsRemaining => undef}], '/queries');

# --- an instance ---

sub state
{
    my ($id) = @_;
    return $node->safe_psql('postgres', "SELECT state FROM readmodel.orders WHERE id = '$id'");
}

my $path = '/queries/orders/customer%207';
$service->answers($path, 200, state('customer 7'), 'an instance, as it stands in the view');
my $instance = $service->get($path);
headers_are($instance, {%one, 'x-query-position' => 100, 'cache-control' => 'no-store', 'content-type' => 'application/json'},
    'its headers');
my $etag = $instance->{headers}{etag};
like($etag, qr/^"[!-~]+"$/, 'it has an entity tag');

for my $tags ($etag, "W/$etag", qq{"x", $etag}, '*')
{
    my $same = $service->get($path, 'If-None-Match' => $tags);
    is("$same->{status} $same->{content}", '304 ', "304 for If-None-Match: $tags");
    headers_are($same, {%one, etag => $etag}, 'with the headers of the state');
}
is($service->get($path, 'If-None-Match' => '"x"')->{status}, 200, '200 for another tag');
is($service->get($path, 'If-None-Match' => ['"x"', $etag, '"y"'])->{status}, 304, '304 for one of several lines');
is($service->get($path, 'If-None-Match' => ['"x"', '"y"'])->{status}, 200, '200 for none of them');

append_order($node, 'postgres', 'customer 7', 5);
states_equal_oracle($node, 'postgres', 'the order is in');
my $changed = $service->get($path, 'If-None-Match' => $etag);
is("$changed->{status} $changed->{content}", '200 ' . state('customer 7'), 'a new event changes the tag');
isnt($changed->{headers}{etag}, $etag, 'which is another');

$etag = $changed->{headers}{etag};
$node->safe_psql('postgres', q{SELECT readmodel.rebuild('orders')});
wait_until($node, 'postgres', q{count(*) = 1 FROM readmodel.status() WHERE status = 'ready' AND serving_generation = 2}, 'built anew');
my $rebuilt = $service->get($path, 'If-None-Match' => $etag);
is("$rebuilt->{status} $rebuilt->{content}", '200 ' . state('customer 7'), 'another generation changes the tag of the same state');
is($rebuilt->{headers}{'x-query-generation'}, 2, 'and the header');

my $head = $service->request('HEAD', $path);
is("$head->{status} $head->{content}", '200 ', 'HEAD has no body');
headers_are($head, {map { $_ => $rebuilt->{headers}{$_} } qw(etag content-length x-query-status x-query-generation)},
    'and the headers of GET');

# --- what is not there, or may not be had ---

$service->problem('/queries/orders/nobody', 404, '404 for an unknown instance');
is($service->get('/queries/orders/nobody')->{headers}{'x-query-status'}, 'ready', 'which says that the query is ready');
$service->problem('/queries/nobody/x', 404, '404 for an instance of an unknown query');
$service->problem('/queries/nobody', 404, '404 for an unknown query');
$service->problem("/queries/orders/customer%207?hash=$other_hash", 404, '404 for an unknown definition');
is($service->get("/queries/orders/customer%207?hash=$hash")->{status}, 200, '200 for the definition that is there');
$service->problem($_, 404, "404 for $_") for '/health/', '/queries/orders/a/b', '/favicon.ico';
$node->safe_psql('postgres', q{
    SELECT readmodel.define_query('hidden', 'shop', 'public.order_placed(jsonb, jsonb)', key => 'stream')});
wait_until($node, 'postgres', q{readmodel.readiness('hidden') = 'ready'}, 'another query');
$service->problem('/queries/hidden/x', 403, '403 without SELECT on the view');
$service->problem('/queries/hidden', 403, 'for its list too');

for my $bad ('/queries/orders?limit=0', '/queries/orders?limit=1001', '/queries/orders?limit=ten', '/queries/orders?limit=1&limit=2',
    '/queries/orders?min_position=-1', '/queries/orders?min_position=99999999999999999999', '/queries/orders?timeout=5',
    '/queries/orders/x?min_postion=7', '/queries/orders/x?after=1', "/ready?hash=$hash", '/ready?query=orders&hash=abc',
    '/queries/orders/%00', '/queries/orders/%ff', '/queries/orders/%zz', '/queries/orders/%', '/queries/%c0%80/x',
    '/queries/orders/%ed%a0%80', '/queries/orders?after=%00')
{
    $service->problem($bad, 400, "400 for $bad");
}
for my $method (qw(POST PUT DELETE PATCH OPTIONS))
{
    my $response = $service->request($method, '/queries/orders');
    HttpService::is_problem($response, 405, "405 for $method");
    is($response->{headers}{allow}, 'GET, HEAD', 'and what is allowed');
}

# --- pages ---

sub next_of
{
    my ($response) = @_;
    my $link = $response->{headers}{link} // return;
    return $link =~ m{^<([^>]+)>; rel="next"$} ? $1 : fail("a link: $link");
}

for my $size (1, 7, 19, 20, 1000)
{
    my ($next, @states, $pages) = ("/queries/orders?limit=$size");
    while ($next && ++$pages < 30)
    {
        my $page = $service->get($next);
        headers_are($page, {'x-query-status' => 'ready', 'x-query-generation' => 2}, 'a page') if $pages == 1;
        push @states, @{decode_json($page->{content})};
        $next = next_of($page);
    }
    is($pages, int((20 + $size - 1) / $size), "pages of $size: as many as are needed");
    is_deeply(\@states, decode_json($node->safe_psql('postgres', 'SELECT json_agg(state ORDER BY id) FROM readmodel.orders')),
        "pages of $size: all states in the order of their ids");
}
$service->answers('/queries/orders?after=zzz', 200, '[]', 'nothing after the last one');

# --- ids and names of every kind ---

$node->safe_psql('postgres', q{
    CREATE FUNCTION public.event_itself(state jsonb, event jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE RETURN event -> 'data';
    SELECT readmodel.define_query('all kinds/of "näme"', 'shop', 'public.event_itself(jsonb, jsonb)', key => 'stream',
        event_types => '{Named}');
    SELECT readmodel.define_query('numbers', 'shop', 'public.event_itself(jsonb, jsonb)', key => 'position');
    GRANT SELECT ON readmodel."all kinds/of ""näme""", readmodel.numbers TO web});
my %ids = ('' => '', 'a/b' => 'a%2Fb', 'ä ö' => '%C3%A4%20%C3%B6', '100%' => '100%25', '?#&' => '%3F%23%26', "it's" => "it's", '..' => '%2e%2e',
    '+' => '+', "\x{1F600}" => '%F0%9F%98%80', 'NULL' => 'NULL', '{"a"}' => '%7B%22a%22%7D', 'a\\b' => 'a%5cb');
for my $id (keys %ids)
{
    (my $literal = $id) =~ s/'/''/g;
    $node->safe_psql('postgres', qq{INSERT INTO public.events (stream_id, type, data)
        VALUES ('$literal', 'Named', jsonb_build_object('id', '$literal'::text))});
}
wait_until($node, 'postgres', 'bool_and(lag = 0) FROM readmodel.status()', 'all are named');
my $named = '/queries/all%20kinds%2Fof%20%22n%C3%A4me%22';
for my $id (sort keys %ids)
{
    my $response = $service->get("$named/$ids{$id}");
    is($response->{status}, 200, "an instance at /$ids{$id}");
    is_deeply(decode_json($response->{content}), {id => $id}, 'which is the right one');
}
my ($next, @seen) = ("$named?limit=1");
while ($next && @seen < 30)
{
    my $page = $service->get($next);
    push @seen, map { $_->{id} } @{decode_json($page->{content})};
    $next = next_of($page);
}
is_deeply([sort @seen], [sort keys %ids], 'and one after another');
$service->problem('/queries/numbers/ten', 400, '400 for an id that is no number');
$service->problem('/queries/numbers/99999999999999999999', 400, 'and for one that is too large');
$service->problem('/queries/numbers?after=ten', 400, 'and for a page after it');
unlike(slurp_file($node->logfile), qr/ERROR:  (?!permission denied)/, 'what clients ask for wrongly is no error in the log of the server');
is($service->get('/queries/numbers/7')->{status}, 200, '200 for one that is one');
is($service->stop, 0, 'it stops');
$node->stop;
done_testing();
