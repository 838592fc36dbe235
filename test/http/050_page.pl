# The page, in a headless Chromium against a real service and a real server: what it shows of queries that are ready, being
# rebuilt and failed, of a database that goes and comes back, and that it can be used by keyboard, by a screen reader, on a phone
# and in the dark.
#
# Screenshots are written to tmp_check/screenshots, or to the directory that READMODEL_SCREENSHOTS names.
#
# Seen to fail when: a name is put in as HTML, rows are made anew on each update, the rows are not sorted again, a label is taken
# away, a column has a fixed width on a phone, a colour is too light, the page loads something from elsewhere.
use strict;
use warnings;
use utf8;
use File::Path qw(make_path);
use FindBin;
use IPC::Run ();
use JSON::PP;
use lib "$FindBin::RealBin/..";
use PostgreSQL::Test::Utils;
use Test::More;
use Browser;
use HttpService;
use ReadModelCluster;

plan skip_all => 'needs chromium and chromium-driver' unless Browser::available();

my $screenshots = $ENV{READMODEL_SCREENSHOTS} // "$PostgreSQL::Test::Utils::tmp_check/screenshots";
make_path($screenshots);

my $evil = q{<img src=x onerror="window.evil = 1">};
my $node = new_server('page', "readmodel.batch_size = 100", "readmodel.rebuild_rate_limit = 4000");
make_shop($node, 'postgres');
$node->safe_psql('postgres', q{
    CREATE ROLE web LOGIN;
    SELECT readmodel.grant_reader('web')});
my $service = HttpService->new($node, role => 'web');
my $browser = Browser->new(timezone => 'Europe/Berlin');

# --- what is asked of the page ---

# The row of a query, and what stands in its cells.
my $row_of = q{[...document.querySelectorAll('.queries tbody')].find(row => row.querySelector('.name').textContent === arguments[0])};

sub cell
{
    my ($query, $class) = @_;
    return $browser->value("($row_of)?.querySelector('.' + arguments[1])?.innerText.replace(/[ \\n\\t]+/g, ' ').trim()", $query, $class);
}

sub shows
{
    my ($query, $status, $what) = @_;
    ok($browser->wait_for("($row_of)?.querySelector('.word').textContent === arguments[1]", $query, $status), $what)
      or diag($browser->text('body'));
    return;
}

sub shows_state
{
    my ($state, $what) = @_;
    ok($browser->wait_for('document.getElementById("connection").dataset.state === arguments[0]', $state), $what)
      or diag($browser->text('body'));
    return;
}

sub order
{
    return join ' ', @{$browser->value(q{[...document.querySelectorAll('.queries tbody:not([hidden]) .name')].map(name => name.textContent)})};
}

# Waits until the page has had so many more samples.
sub samples
{
    my ($count) = @_;
    $browser->value(q{void (window.sampled = 0, window.sampling ??= new MutationObserver(() => ++window.sampled)
        .observe(document.getElementById('connection'), {attributeFilter: ['data-at']}))});
    ok($browser->wait_for('window.sampled >= arguments[0]', $count), 'samples go on');
    return;
}

# Text that is too pale for its background: WCAG 2.1, level AA, 4.5 or, where it is large, 3.
my $pale = q{(() => {
    const channels = text => (text.match(/[\d.]+/g) ?? []).map(Number);
    const luminance = ([r, g, b]) => [r, g, b].map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
        .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
    const background = node => {
        for (; node; node = node.parentElement) {
            const colour = channels(getComputedStyle(node).backgroundColor);
            if (colour.length === 3 || colour[3] === 1)
                return colour;
        }
        return [255, 255, 255];
    };
    const faint = node => { for (; node; node = node.parentElement) if (getComputedStyle(node).opacity !== '1') return true; return false; };
    const found = [];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let text; (text = walker.nextNode());) {
        const node = text.parentElement;
        if (!text.data.trim() || !node.checkVisibility() || node.closest('.unseen, .skip, script, noscript'))
            continue;
        const style = getComputedStyle(node);
        const [a, b] = [luminance(channels(style.color)), luminance(background(node))].sort((x, y) => y - x);
        const ratio = (a + 0.05) / (b + 0.05);
        if (ratio < (parseFloat(style.fontSize) >= 24 ? 3 : 4.5) || faint(node))
            found.push(`${text.data.trim()} ${ratio.toFixed(1)}`);
    }
    return found;
})()};

# The page as it stands, in the light and in the dark, wide and on a phone.
sub looks_right
{
    my ($name) = @_;
    $browser->value('void (window.focused = document.activeElement, focused.blur(), scrollTo(0, 0))');
    foreach my $scheme ('light', 'dark')
    {
        $browser->media('color-scheme' => $scheme, 'reduced-motion' => 'reduce');
        is_deeply($browser->value($pale), [], "$name, $scheme: no text is too pale");
        $browser->screenshot("$screenshots/$name-$scheme.png");
    }
    is($browser->value('[...document.querySelectorAll(".fill, .toggle .shape")].filter(node => parseFloat(getComputedStyle(node).transitionDuration) > 0).length'), 0,
        "$name: nothing moves for who asked for less motion");
    $browser->media('color-scheme' => 'light', 'reduced-motion' => 'reduce');
    foreach my $width (320, 768, 1024)
    {
        $browser->viewport($width, 700);
        cmp_ok($browser->value('document.documentElement.scrollWidth'), '<=', $width, "$name: $width pixels are wide enough");
        $browser->screenshot("$screenshots/$name-phone.png") if $width == 320;
    }
    is_deeply($browser->value(q{[...document.querySelectorAll('.queries tbody:not([hidden]) .main > *')].filter(cell => cell.scrollWidth > cell.clientWidth + 1)
        .map(cell => cell.innerText)}), [], "$name: no cell is too narrow for what it holds");
    $browser->viewport(1280, 800);
    $browser->value('void focused.focus()');
    return;
}

# Nothing came from elsewhere, nothing complained.
sub nothing_amiss
{
    my ($what) = @_;
    my $origin = $service->url;
    is_deeply([grep { !/^\Q$origin\E/ && !/^(?:data|chrome):/ } $browser->requests], [], "$what: all requests went to the service");
    is_deeply([$browser->console], [], "$what: the console is empty");
    is_deeply($browser->value('window.violations ?? []'), [], "$what: the content security policy was not violated");
    return;
}

# --- nothing there yet ---

$browser->go($service->url . '/');
shows_state('live', 'the page connects');
ok($browser->wait_for(q{!document.getElementById('empty').hidden}), 'without queries it says what to do');
like($browser->text('#empty'), qr/readmodel\.define_query.*readmodel\.grant_reader/s, '.. in SQL');
is($browser->text('#summary'), 'There are no queries to show.', '.. and says so on top');
ok($browser->wait_for(q{document.querySelector('.sources .name')?.textContent === 'shop'}), 'the source is there already');
looks_right('empty');

# --- how things are written, in the modules themselves ---

sub computes
{
    my ($module, $expression, $expected) = @_;
    is_deeply($browser->value("import('/$module.js').then(m => $expression)"), $expected, "$module.js: $expression");
    return;
}

computes('format', '[0, 7, 1234, 1234567, "9007199254740993", null].map(m.integer)', ['0', '7', "1\x{202f}234", "1\x{202f}234\x{202f}567",
    "9\x{202f}007\x{202f}199\x{202f}254\x{202f}740\x{202f}993", '–']);
computes('format', '[0, 0.25, 9.96, 10, 12345.6, null].map(m.rate)', ['0', '0.3', '10.0', '10', "12\x{202f}346", '–']);
computes('format', '[[999999, 1000000], [5, 5], [0, 0], [null, 5], [7, 5], ["9007199254740993", "9007199254740993"]].map(([p, h]) => m.fraction(p, h)).map(f => f === null ? "" : m.percent(f))',
    ["99\x{202f}%", "100\x{202f}%", "100\x{202f}%", '', "100\x{202f}%", "100\x{202f}%"]);
computes('format', '[0, 1023, 1024, 14516224, 5e11].map(m.bytes)', ["0\x{202f}B", "1023\x{202f}B", "1.0\x{202f}kB", "13.8\x{202f}MB", "466\x{202f}GB"]);
computes('format', '[0, 0.25, 9, 59.9, 60, 61, 3600, 3725, 90000, 86400 * 3 + 59].map(m.duration)', ["0\x{202f}s", "0.3\x{202f}s", "9\x{202f}s", "59\x{202f}s",
    "1\x{202f}min", "1\x{202f}min 1\x{202f}s", "1\x{202f}h", "1\x{202f}h 2\x{202f}min", "1\x{202f}d 1\x{202f}h", "3\x{202f}d"]);
computes('format', '[1, 42, 84, 119, 5000, 7200, 86400 * 2].map(m.about)', ['a few seconds', "about 40\x{202f}s", "about 85\x{202f}s", "about 2\x{202f}min",
    "about 83\x{202f}min", "about 2\x{202f}h", 'about 2 days']);
computes('format', q{m.sqlLiteral("o'clock\\\\")}, q{'o''clock\\'});
computes('status', q{m.summary([{name: 'orders', status: 'rebuilding', position: 62, headPosition: 100, estimatedSecondsRemaining: 41},
    ...[1, 2, 3, 4, 5, 6, 7].map(i => ({name: `q${i}`, status: 'ready'}))], [])}, qq{7 of 8 queries are ready; "orders" is rebuilding, 62\x{202f}%, about 40\x{202f}s left.});
computes('status', q{m.summary([{name: 'a', status: 'failed'}], [{name: 'shop', blockedBy: [4711, 0], blockedFor: 200}])},
    qq{The query "a" has failed. The source "shop" waits for pid 4711 and a prepared transaction, for 3\x{202f}min now.});
computes('status', q{m.summary([...'abcdef'].map((name, i) => ({name, status: i < 2 ? 'failed' : i < 4 ? 'rebuilding' : i < 5 ? 'stalled' : 'ready'})), [])},
    '1 of 6 queries is ready; 2 have failed, "e" is stalled and 2 are rebuilding.');
computes('status', q{[...'abcdef'].map((name, i) => ({name: name + (10 - i), status: ['ready', 'gated', 'failed', 'rebuilding', 'ready', 'stalled'][i]})).sort(m.byTrouble).map(q => q.name).join()},
    'c8,f5,b9,d7,a10,e6');
computes('stream', q{(() => { const got = []; const parser = new m.EventParser(data => got.push(data));
    for (const piece of ['da', 'ta: a\\n', '\\n: alive\\n\\ndata: b\\r\\ndata:c\\r\\n\\r', '\\n', 'event: x\\n\\ndata: d']) parser.feed(piece);
    return got; })()}, ['a', "b\nc"]);

# --- ready ---

append_orders($node, 'postgres', 2000);
$node->safe_psql('postgres', qq{
    SELECT readmodel.define_query('orders', 'shop', spec => '{"key": "\$event.stream", "on": {"OrderPlaced": {"add": {"orders": 1}}}}');
    SELECT readmodel.define_query('customers', 'shop', spec => '{"key": "\$event.stream", "on": {"OrderPlaced": {"max": {"largest": "\$.amount"}}}}')});
shows('orders', 'ready', 'a query comes up by itself, and is ready');
shows('customers', 'ready', 'another one');
ok($browser->wait_for(q{document.getElementById('summary').textContent === 'All 2 queries are ready.'}), 'the sentence on top says so');
like(cell('orders', 'c-progress'), qr/^2\x{202f}000$/, 'its position, with thin separators');
is(cell('orders', 'c-lag'), '0', 'its lag');
is(cell('orders', 'c-instances'), '20', 'its instances');
is(cell('orders', 'c-letters'), '0', 'its dead letters');
my $hash = $node->safe_psql('postgres', q{SELECT left(definition_hash, 8) FROM readmodel.status() WHERE name = 'orders'});
is(cell('orders', 'c-generation'), "1 $hash", 'its generation and as much of the hash as tells definitions apart');
like($browser->text('.sources tbody'), qr/shop.*2\x{202f}000.*2\x{202f}000/s, 'the source with its settled position and head');
is($browser->value('document.title'), '2 of 2 ready – read models', 'the title of the tab');
nothing_amiss('ready');

# --- by keyboard, while samples come in ---

$browser->value(q{void (document.querySelectorAll('.queries tbody .toggle').forEach(button => { button.marked = true; }), document.activeElement.blur())});
$browser->press('Tab');
is($browser->value('document.activeElement.className'), 'skip', 'the first stop is the link to the queries');
$browser->press('Enter', '/');
is($browser->value('document.activeElement.id'), 'filter', '"/" goes to the filter');
$browser->type('cust');
is(order(), 'customers', 'the filter leaves what contains it');
is($browser->text('#queries-count'), '1 of 2', '.. and says how many these are');
$browser->type('zzz');
ok($browser->value(q{!document.getElementById('none').hidden}), 'where nothing is left that is said');
$browser->press('Escape');
is(order(), 'customers orders', 'Escape shows all again');
$browser->value(q{void document.querySelector('.toggle').focus()});
$browser->press('ArrowDown');
is($browser->value('document.activeElement.innerText.trim()'), 'orders', 'the arrow goes to the next query');
like($browser->value('getComputedStyle(document.activeElement).outlineStyle'), qr/solid/, 'the focus can be seen');
$browser->press('Enter');
is($browser->value('document.activeElement.getAttribute("aria-expanded")'), 'true', 'Enter opens the details');
like($browser->value("($row_of).querySelector('.more').innerText", 'orders'), qr/Events applied\s+2\x{202f}000.*Reads\s+answered\n/s, '.. which say more');
append_orders($node, 'postgres', 500);
ok($browser->wait_for("($row_of).querySelector('.progress-text').textContent === arguments[1]", 'orders', "2\x{202f}500"), 'numbers are kept up to date');
samples(3);
ok($browser->value('document.activeElement.marked && document.activeElement.getAttribute("aria-expanded") === "true"'),
    '.. in the same nodes: the focus is where it was, the details are open');
looks_right('ready');

$browser->press('Enter');
is($browser->value('document.activeElement.getAttribute("aria-expanded")'), 'false', 'Enter closes them again');

# --- what a screen reader gets ---

my @tree = $browser->accessibility_tree;
sub nodes { my ($role) = @_; return grep { $_->[0] eq $role } @tree }
is_deeply([sort map { $_->[1] } nodes('table')], ['Queries 2', 'Sources 1'], 'two tables, with names');
is_deeply([grep { $_->[1] eq '' } map { nodes($_) } qw(button searchbox link textbox image progressbar heading columnheader rowheader)], [],
    'everything that can be used or has to be told has a name');
is(scalar(nodes('progressbar')), 2, 'a progress bar a query');
my ($progress) = grep { $_->[1] eq 'Progress of orders' } nodes('progressbar');
ok($progress && $progress->[3] == 100, '.. with its value');
like($browser->value("($row_of).querySelector('[role=progressbar]').ariaValueText", 'orders'), qr/^100\x{202f}%, position 2\x{202f}500 of 2\x{202f}500$/, '.. and what it means');
ok((grep { $_->[1] =~ /^Lag over the last five minutes: / } nodes('image')), 'graphs are told in words');
is(scalar(nodes('heading')), 3, 'headings');
is($browser->value('document.getElementById("announce").ariaLive'), 'polite', 'changes are announced politely');
is($browser->value('[...document.querySelectorAll("[aria-live]")].length'), 1, '.. and nothing else is');

# --- rebuilding ---

$browser->value(q{void (window.announced = [], new MutationObserver(() => announced.push(document.getElementById('announce').textContent))
    .observe(document.getElementById('announce'), {childList: true, characterData: true, subtree: true}))});
append_orders($node, 'postgres', 60_000);
$node->safe_psql('postgres', q{SELECT readmodel.define_query('revenue', 'shop',
    spec => '{"key": "$event.stream", "on": {"OrderPlaced": {"add": {"total": "$.amount"}}}}')});
shows('revenue', 'rebuilding', 'a query that is being rebuilt');
ok($browser->wait_for("/^\\d+\\u202f%\$/.test(($row_of).querySelector('.progress-text').textContent)", 'revenue'), '.. how far it is');
ok($browser->wait_for("Number(($row_of).querySelector('[role=progressbar]').ariaValueNow) > 40", 'revenue'), '.. and has come');
$node->append_conf('postgresql.conf', 'readmodel.rebuild_rate_limit = 500'); # what follows has time
$node->reload;
my $before = $browser->value("Number(($row_of).querySelector('[role=progressbar]').ariaValueNow)", 'revenue');
ok($browser->wait_for("Number(($row_of).querySelector('[role=progressbar]').ariaValueNow) > arguments[1]", 'revenue', $before), '.. that it goes on');
ok($browser->wait_for("/^about \\d+\\u202f(s|min) left\$/.test(($row_of).querySelector('.progress-note').textContent)", 'revenue'), '.. how long it will take');
ok($browser->wait_for("Number(($row_of).querySelector('.c-rate').innerText.replace(/\\D/g, '')) > 0", 'revenue'), '.. how fast it is');
like($browser->text('#summary'), qr/^2 of 3 queries are ready; "revenue" is rebuilding, \d+\x{202f}%, about \d+\x{202f}(s|min) left\.$/, 'the sentence on top');
ok($browser->wait_for(q{document.querySelector('.queries .name').textContent === 'revenue'}), 'what is not ready comes first');
ok($browser->wait_for("($row_of).querySelectorAll('.graph .area')[0].getAttribute('d').length > 40", 'revenue'), 'the graph is drawn');
looks_right('rebuilding');
nothing_amiss('rebuilding');

# One that is answered meanwhile.
$node->safe_psql('postgres', q{SELECT readmodel.define_query('customers', 'shop',
    spec => '{"key": "$event.stream", "on": {"OrderPlaced": {"min": {"smallest": "$.amount"}}}}', options => '{"while_rebuilding": "serve_previous"}')});
shows('customers', 'rebuilding', 'a query with a new definition');
like(cell('customers', 'c-generation'), qr/^2 [0-9a-f]{8} 1 serves \(ready\)$/, '.. which generation is built, and which one serves');
$browser->value("void ($row_of).querySelector('.toggle').click()", 'customers');
like($browser->value("($row_of).querySelector('.more').innerText", 'customers'), qr/Reads\s+answered as stale, by generation 1\n/, '.. and answers');
$browser->value("void ($row_of).querySelector('.toggle').click()", 'customers');

$browser->value("void ($row_of).querySelector('.toggle').focus()", 'revenue');
$node->append_conf('postgresql.conf', 'readmodel.rebuild_rate_limit = 0');
$node->reload;
shows('revenue', 'ready', 'it becomes ready');
ok($browser->wait_for('announced.some(text => text.includes(arguments[0]))', '"revenue" is ready'), '.. which is announced');
shows('customers', 'ready', 'the other one too');
is($browser->value('document.activeElement.innerText.trim()'), 'revenue', 'the focus stays on it');
ok($browser->wait_for(q{[...document.querySelectorAll('.queries .name')].at(-1).textContent === 'revenue'}), 'it goes to its place when nobody steps through the list');
is($browser->value('document.activeElement.innerText.trim()'), 'revenue', '.. with the focus');

# --- a writer holds a source up ---

my ($stdin, $stdout) = ('', '');
my $writer = IPC::Run::start(['psql', '-XAtq', '-d', $node->connstr('postgres')], '<', \$stdin, '>', \$stdout);
$stdin .= "BEGIN; INSERT INTO public.events (stream_id, type, data) VALUES ('w', 'OrderPlaced', '{\"amount\": 1}'); SELECT 'pid', pg_backend_pid();\n";
my $end = time + 30;
while ($stdout !~ /pid\|(\d+)/ && time < $end) { $writer->pump_nb; select undef, undef, undef, 0.02 }
my ($pid) = $stdout =~ /pid\|(\d+)/;
append_orders($node, 'postgres', 3);
ok($browser->wait_for(q{document.querySelector('.sources td.c-blocked').textContent.startsWith(arguments[0])}, "pid $pid, for "),
    'a source that a writer holds up: by whom, and for how long');
ok($browser->wait_for(q{document.getElementById('summary').textContent.includes(arguments[0])}, "The source \"shop\" waits for pid $pid, for "),
    '.. which after a while is told on top');
like(cell('orders', 'reason'), qr/^writer: waits for the open transaction of pid $pid, \d+ s old$/, '.. the queries say so too');
is(cell('orders', 'c-status'), 'ready', '.. and are ready');
looks_right('held-up');
$stdin .= "ROLLBACK;\n\\q\n";
$writer->finish;
ok($browser->wait_for(q{document.querySelector('.sources td.c-blocked').textContent === '–'}), 'it goes on');

# --- failed ---

$node->safe_psql('postgres', q{
    CREATE FUNCTION public.shipped(state jsonb, event jsonb) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE AS $$
    BEGIN
        IF event ->> 'type' = 'Broken' THEN RAISE EXCEPTION 'the secret is %', event #>> '{data,secret}' USING ERRCODE = 'XX123'; END IF;
        RETURN coalesce(state, '{"shipped": 0}');
    END $$;
    SELECT readmodel.define_query('shipments', 'shop', 'public.shipped(jsonb, jsonb)', key => 'stream', event_types => '{Shipped,Broken}');
    INSERT INTO public.events (stream_id, type, data) VALUES ('x', 'Shipped', '{}'), ('x', 'Broken', '{"secret": "rosebud"}')});
my $position = $node->safe_psql('postgres', q{SELECT position FROM public.events WHERE type = 'Broken'});
shows('shipments', 'failed', 'a query that has failed');
is(cell('shipments', 'reason'), "updater_error: SQLSTATE XX123 at position $position", '.. why, and where');
ok($browser->wait_for(q{document.querySelector('.queries .name').textContent === 'shipments'}), '.. comes first');
like($browser->text('#summary'), qr/^3 of 4 queries are ready; "shipments" has failed\.$/, 'the sentence on top');
like($browser->value('document.title'), qr/^1 failed, 3 of 4 ready/, 'the title of the tab');
$browser->value("void ($row_of).querySelector('.toggle').click()", 'shipments');
like($browser->value("($row_of).querySelector('.more').innerText", 'shipments'),
    qr/SELECT error_message FROM readmodel\.status\(\) WHERE name = 'shipments';\s+SELECT readmodel\.retry\('shipments'\);/, '.. and what to do, in SQL');
unlike($browser->value('document.documentElement.outerHTML'), qr/rosebud/, 'the message, which quotes data, is for SQL alone');
looks_right('failed');

$browser->value("void ($row_of).querySelector('.toggle').click()", 'shipments');

# --- a name that is not harmless ---

$node->safe_psql('postgres', qq{SELECT readmodel.define_query(\$\$$evil\$\$, 'shop', spec => '{"key": "all", "on": {"OrderPlaced": {"add": {"orders": 1}}}}')});
shows($evil, 'ready', 'a name that looks like HTML is shown as it is');
is($browser->value('document.querySelectorAll("img").length + (window.evil ?? 0)'), 0, '.. and is no HTML');

# --- a hundred ---

$node->safe_psql('postgres', q{
    SELECT readmodel.define_query('query ' || i, 'shop', spec => '{"key": "all", "on": {"OrderPlaced": {"add": {"orders": 1}}}}')
    FROM generate_series(1, 95) i});
ok($browser->wait_for(q{document.querySelectorAll('.queries tbody[data-status=ready]').length === 99}), 'a hundred queries') or diag($browser->text('#summary'));
like(order(), qr/query 9 query 10 query 11 /, '.. in an order that people expect');
$browser->value(q{void (document.getElementById('filter').focus(), document.getElementById('filter').value = '')});
$browser->type('query 95');
is($browser->text('#queries-count'), '1 of 100', 'the filter finds its way');
$browser->press('Escape');
$browser->value(q{void document.querySelector('.chip[data-status=failed]').click()});
is(order(), 'shipments', 'only what has failed');
$browser->value(q{void document.querySelector('.chip[data-status=failed]').click()});
looks_right('hundred');
nothing_amiss('failed');

# --- no database, and back ---

$node->stop('fast');
shows_state('database', 'the database is stopped');
is($browser->text('#summary'), 'The database does not answer.', 'the sentence on top no longer speaks of queries');
like($browser->text('#notice'), qr/What follows was so at \d\d:\d\d:\d\d\./, '.. and what is shown is dated');
is($browser->value(q{document.querySelectorAll('.queries tbody').length}), 100, '.. but still there');
ok($browser->wait_for('announced.includes(arguments[0])', 'No database.'), '.. which is announced');
looks_right('no-database');
$browser->go($service->url . '/');
shows_state('database', 'a page that is opened now says so too');
nothing_amiss('no database');
$node->start;
shows_state('live', 'it comes back by itself');
ok($browser->wait_for(q{document.querySelectorAll('.queries tbody[data-status=ready]').length === 99}), '.. with everything');

# --- no right to see the queries, and back ---

$node->safe_psql('postgres', q{SELECT readmodel.revoke_reader('web')});
shows_state('database', 'the right to see the queries is taken away');
is($browser->text('#summary'), 'The service may not see the queries.', '.. which the sentence on top says');
like($browser->text('#notice'), qr/grant_reader/, '.. with what helps');
is($browser->text('#connection .word'), 'No access', '.. and not that there is no database');
$node->safe_psql('postgres', q{SELECT readmodel.grant_reader('web')});
shows_state('live', 'it may again');

# --- no service, and back ---

my $port = $service->port;
$service->stop;
shows_state('reconnecting', 'the service is stopped');
$service = HttpService->new($node, role => 'web', port => $port);
shows_state('live', 'the page finds it again');
$browser->console; # that it was away stands there

# --- with a token ---

my $guarded = HttpService->new($node, role => 'web', token => 'sesame-open');
$browser->go($guarded->url . '/');
shows_state('locked', 'a service that asks for a token');
is($browser->value('document.activeElement.id'), 'token-value', '.. the page asks for it');
looks_right('token');
$browser->type('mellon');
$browser->press('Enter');
ok($browser->wait_for(q{document.getElementById('token-note').textContent === 'That token was not accepted.'}), 'a wrong one is refused');
$browser->type('sesame-open');
$browser->press('Enter');
shows_state('live', 'the right one is not');
ok($browser->value(q{document.getElementById('token').hidden}), '.. and the form is gone');
$browser->go($guarded->url . '/');
shows_state('live', 'it is kept for the tab');
is_deeply([grep { /sesame|mellon/ } $browser->requests], [], 'it stands in no address');
is_deeply([grep { !/ 401 / } $browser->console], [], 'only the refusals stand in the console');

$browser->quit;
$guarded->stop;
$service->stop;
$node->stop;
done_testing();
