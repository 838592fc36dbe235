# Who may ask, and as whom the service may ask the database.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use HttpService;
use ReadModelCluster;

my $node = new_server('security');
make_shop($node, 'postgres');
append_orders($node, 'postgres', 20);
define_orders($node, 'postgres');
wait_ready($node, 'postgres', 'the query becomes ready');
$node->safe_psql('postgres', q{
    CREATE ROLE web LOGIN;
    SELECT readmodel.grant_reader('web');
    CREATE ROLE nobody_yet LOGIN;
    GRANT SELECT ON readmodel.orders TO web});

# --- the token ---

my $token = 'a-long.secret_0123456789';
my $guarded = HttpService->new($node, token => "$token\n");
ok($guarded->wait_log(qr/connected to the database/), 'a service that asks for a token');
$guarded->wait_for('/ready', sub { $_->{status} == 401 }, 'without a token: 401');
for my $path ('/ready', '/queries', '/queries/orders', '/queries/orders/customer%201', '/nothing')
{
    HttpService::is_problem($guarded->get($path), 401, "$path asks for one");
    my $response = $guarded->get($path, Authorization => "Bearer $token");
    isnt($response->{status}, 401, "$path takes it") or diag($response->{content});
}
like($guarded->get('/ready')->{headers}{'www-authenticate'}, qr/^Bearer/, 'and says what it wants');
is($guarded->get('/health')->{status}, 200, '/health asks for none');
for my $wrong ("Bearer ${token}x", 'Bearer ' . substr($token, 0, -1), 'Bearer ', 'Bearer', "Basic $token", $token, "Bearer \U$token")
{
    is($guarded->get('/ready', Authorization => $wrong)->{status}, 401, "not with \"$wrong\"");
}
is($guarded->get('/ready', Authorization => "bearer $token")->{status}, 200, 'the name of the scheme may be written in lower case');
like($guarded->raw("GET /ready HTTP/1.1\r\nHost: elsewhere\r\nAuthorization: Bearer $token\r\nConnection: close\r\n\r\n"),
    qr{^HTTP/1.1 200 }, 'with it, by any name');
# The token's file is read again.
truncate $guarded->{token}, 0;
seek $guarded->{token}, 0, 0;
print {$guarded->{token}} "another-token\n";
$guarded->{token}->flush;
$guarded->signal('HUP');
ok($guarded->wait_log(qr/SIGHUP: the token was read again/), 'SIGHUP reads the token again');
is($guarded->get('/queries', Authorization => 'Bearer another-token')->{status}, 200, 'the new one counts');
is($guarded->get('/queries', Authorization => "Bearer $token")->{status}, 401, 'and the old one no more');
truncate $guarded->{token}, 0;
$guarded->signal('HUP');
ok($guarded->wait_log(qr/SIGHUP: the token stays as it was/), 'one that is empty changes nothing');
is($guarded->get('/queries', Authorization => 'Bearer another-token')->{status}, 200, 'that is so');
is($guarded->stop, 0, 'it stops');
my $environment = HttpService->new($node, environment => {READMODEL_HTTP_TOKEN => $token});
is($environment->get('/ready')->{status}, 401, 'a token of the environment is asked for');
$environment->signal('HUP');
ok($environment->wait_log(qr/SIGHUP: there is no token file/), 'SIGHUP without a file does no harm');
is($environment->get('/ready')->{status}, 401, 'nor changes it anything');
unlike($_->log, qr/\Q$token/, 'the log does not tell it') for $guarded, $environment;
is($environment->stop, 0, 'it stops');

# --- the role ---

my $superuser = HttpService->launch($node, role => $node->safe_psql('postgres', 'SELECT current_user'));
is($superuser->wait_end, 1, 'it refuses to start as a superuser');
like($superuser->log, qr/superuser.*grant_reader/s, 'and says what to do');
my $told = HttpService->new($node, role => $node->safe_psql('postgres', 'SELECT current_user'), options => ['--allow-superuser']);
$told->wait_status('/ready', 200, 'unless it is told');
is($told->stop, 0, 'it stops');

# A role that becomes one later.
$node->safe_psql('postgres', q{CREATE ROLE riser LOGIN; SELECT readmodel.grant_reader('riser')});
my $riser = HttpService->new($node, role => 'riser');
my $deaf = HttpService->new($node, role => 'riser', options => ['--allow-superuser']);
$_->wait_status('/ready', 200, 'services of an ordinary role') for $riser, $deaf;
ok($node->poll_query_until('postgres', q{SELECT count(*) = 8 FROM pg_stat_activity WHERE usename = 'riser'}), 'with all connections');
$node->safe_psql('postgres', 'ALTER ROLE riser SUPERUSER');
$riser->wait_for('/ready', sub { $_->{content} eq '{"status":"unavailable"}' }, 'once it is a superuser, nothing is read with it');
ok($riser->wait_log(qr/lost all connections to the database \(connections: 4, error: the role has become a superuser\)/), 'the log says so');
$riser->answers('/queries/orders/customer%201', 503, '{"status":"unavailable"}', 'nor are states');
ok($riser->wait_log(qr/could not connect.*is a superuser/), 'and it does not connect again');
is($riser->ended, undef, 'but goes on');
is($deaf->get('/ready')->{status}, 200, 'where it is told to serve all the same, it does');
unlike($deaf->log, qr/lost/, 'with the connections it had');
$node->safe_psql('postgres', 'ALTER ROLE riser NOSUPERUSER');
$riser->wait_status('/ready', 200, 'an ordinary role again, and all goes on');
is($_->stop, 0, 'it stops') for $riser, $deaf;

my $blind = HttpService->new($node, role => 'nobody_yet');
ok($blind->wait_log(qr/nobody_yet.*grant_reader/), 'a role that may not see the queries is told of in the log');
$blind->answers('/ready', 503, '{"status":"unavailable"}', 'and does not make all of them ready');
$node->safe_psql('postgres', q{SELECT readmodel.grant_reader('nobody_yet')});
$blind->wait_status('/ready', 200, 'once it may, all goes on');
HttpService::is_problem($blind->get('/queries/orders/customer%201'), 403, 'but for states it needs SELECT on the view');
$node->safe_psql('postgres', q{SELECT readmodel.revoke_reader('nobody_yet')});
$blind->answers($_, 503, '{"status":"unavailable"}', "$_ is not ready for who lost the right to see what is not") for '/ready', '/queries';
is($blind->stop, 0, 'it stops');

# --- by what name ---

my $named = HttpService->new($node, options => ['--host', 'shop.example, readmodel']);
my $plain = HttpService->new($node);
$_->wait_status('/ready', 200, 'a service') for $plain, $named;

sub called
{
    my ($service, $name, $path) = @_;
    return $service->raw("GET $path HTTP/1.1\r\nHost: $name\r\nConnection: close\r\n\r\n") =~ m{^HTTP/1.1 (\d+) } ? $1 : 'nothing';
}

for my $path ('/ready', '/queries', '/queries/orders/customer%201', '/metrics', '/events', '/nothing')
{
    is(called($plain, 'attacker.example:8080', $path), 421, "a page that has its name resolve to us does not read $path");
}
is(called($plain, 'attacker.example', '/health'), 200, '/health tells nothing');
is(called($plain, $_, '/ready'), 200, "\"$_\" is a name of ours") for 'localhost', 'LocalHost:8080', '127.0.0.1:1', '[::1]:8080';
is(called($named, $_, '/ready'), 200, "\"$_\" is one that it was told") for 'shop.example', 'Readmodel:8080', 'localhost';
is(called($named, 'attacker.example', '/ready'), 421, 'another is none');
is($_->stop, 0, 'it stops') for $plain, $named;

# --- what it is told ---

sub refuses
{
    my ($options, $pattern, $what, %more) = @_;
    my $service = HttpService->launch($node, options => $options, %more);
    is($service->wait_end, 2, "$what is refused");
    like($service->log, $pattern, 'with a reason');
}

refuses(['--prot', '80'], qr/prot/, 'an unknown option');
refuses(['--pool-size', '0'], qr/pool-size/, 'a pool of nothing');
refuses(['--idle-timeout', 'soon'], qr/idle-timeout/, 'a time that is none');
refuses(['--token-file', '/nonexistent'], qr/nonexistent/, 'a token that is not there');
refuses(['--config', '/nonexistent'], qr/nonexistent/, 'a file of settings that is not there');
refuses([], qr/token/, 'an empty token', environment => {READMODEL_HTTP_TOKEN => ''});
my $elsewhere = HttpService->launch($node, options => ['--address', '203.0.113.1']);
is($elsewhere->wait_end, 1, 'an address that is not ours');
like($elsewhere->log, qr/203\.0\.113\.1/, 'is named');

# A role that loses the right while the service runs sees no query, which is not that all of them are ready.
my $losing = HttpService->new($node);
$losing->wait_status('/ready', 200, 'it sees the queries');
$node->safe_psql('postgres', q{SELECT readmodel.revoke_reader('web')});
$losing->answers('/ready', 503, '{"status":"unavailable"}', 'what it may not see is not ready');
$node->safe_psql('postgres', q{SELECT readmodel.grant_reader('web')});
$losing->answers('/ready', 200, '{"status":"ready"}', 'it may again');
is($losing->stop, 0, 'it stops');

my $settings = PostgreSQL::Test::Utils::tempdir() . '/settings';
append_to_file($settings, "idle-timeout = 2min\npool-size = 3\nlog-format = text\n");
my $configured = HttpService->new($node, options => ['--config', $settings, '--pool-size', '1'],
    environment => {READMODEL_HTTP_LOG_FORMAT => 'json', READMODEL_HTTP_POOL_SIZE => '2', READMODEL_HTTP_PORT => 'tcp://10.0.0.1:80'});
like($configured->log, qr/^\{"at":"[^"]+","level":"info","message":"listening/m, 'the environment counts before the file');
$configured->wait_status('/ready', 200, 'it works');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE usename = 'web'}), 1, 'and the command line before both');
is($configured->stop, 0, 'it stops');
append_to_file($settings, "pol-size = 3\n");
refuses(['--config', $settings], qr/pol-size/, 'an unknown setting in the file');

my ($help, $error);
IPC::Run::run([$ENV{READMODEL_HTTP_PROGRAM}, '--help'], '>', \$help, '2>', \$error);
like($help, qr/--pool-size.*--statement-timeout/s, '--help tells the options');
IPC::Run::run([$ENV{READMODEL_HTTP_PROGRAM}, '--version'], '>', \my $version);
like($version, qr/^readmodel-http \d+\.\d+\.\d+$/, '--version');

$node->stop;
done_testing();
