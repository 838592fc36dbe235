# Random logs of events and random specs over the same few names, so that what a spec looks for is often there. The data are typed:
# $.n is a number unless it is missing, null or, in a few logs, of a wrong kind; members of states are typed in the same way. So most
# specs run through most logs, and some end in an updater error.
package Differential::Generator;

use strict;
use warnings;
use utf8;
use Differential::Random;
use JSON::PP;

my @types = ('A', 'B', 'C', 'Ordér placed');
my @texts = ('', 'a', 'b', 'ab', 'A', 'ä', "a\x{308}", "\x{ffff}", "\x{1d11e}", "\x{1f600} x", 'a"b\\c', "line\nbreak\t", '$', '$.n', '$$', "\x01",
    '1', '1.0', 'null', ' ', "\x{e000}", "\x{10ffff}");
my @kinds = ('open', 'paid', "\x{e4} b", '7');
my @ids = ('"a"', '"b"', '"c"', '1', '"1"', '1.0', '2', '"ä"', '1e1', '"10"');
my @references = ('"r1"', '"r2"', '3', '"3"', '3.0', '"r4"');

# A log ----------------------------------------------------------------------------------------------

my $wrong;    # how often what is typed is of another kind

my %make;     # kind => JSON
%make = (
    number => sub { number_json() },
    text => sub { text_json(pick(@texts)) },
    boolean => sub { pick('true', 'false') },
    id => sub { pick(@ids) },
    reference => sub { pick(@references) },
    kind => sub { weighted(8 => sub { text_json(pick(@kinds)) }, 1 => '7', 1 => '7.50') },
    object => sub { members(n => 'number', s => 'text', p => 'inner') },
    inner => sub { members(n => 'number', k => 'kind') },
    list => sub { list_json(map { typed('number') // 'null' } 1 .. between(0, 4)) },
    item => sub { members(sku => 'id', n => 'number', s => 'text', k => 'kind', ref => 'reference') },
    items => sub { list_json(map { typed('item') // 'null' } 1 .. between(0, 4)) },
    any => sub { $make{ pick(qw(number text boolean object list items)) }->() });

# undef: missing
sub typed
{
    my ($kind) = @_;
    my $at = rand();
    return undef if $at < 0.08;
    return 'null' if $at < 0.12;
    return $make{any}->() if rand() < $wrong;
    return $make{$kind}->();
}

sub members
{
    my @typed = @_;
    my @members;
    while (my ($name, $kind) = splice(@typed, 0, 2))
    {
        my $value = typed($kind);
        push @members, $name, $value if defined $value;
    }
    return object_json(@members);
}

sub sql_text { my ($text) = @_; return defined $text ? "'" . $text =~ s/'/''/gr . "'" : 'NULL' }

# The rows of INSERT INTO .. (type, stream_id, data, metadata, occurred_at).
sub log_rows
{
    my ($count) = @_;
    $wrong = chance(0.85) ? 0 : pick(0.003, 0.01, 0.03);
    local $Differential::Random::plain = chance(0.6);
    my @rows;
    foreach (1 .. $count)
    {
        my $data = weighted(
            200 => sub { members(id => 'id', k => 'kind', n => 'number', v => 'number', s => 'text', t => 'text', o => 'object', l => 'list',
                    items => 'items', ref => 'reference', b => 'boolean', 'x y' => 'text', "\x{e4}" => 'number') },
            2 => '{}', 1 => undef, 1 => 'null', 1 => '[1, "a"]', 1 => '5');
        push @rows, '(' . join(', ',
            sql_text(weighted(30 => sub { pick(@types) }, 2 => 'Other', 1 => '*', 1 => undef)),
            sql_text(weighted(10 => sub { 's' . between(1, 3) }, 1 => undef)),
            sql_text($data),
            sql_text(weighted(5 => sub { members(n => 'number', s => 'text', user => 'object') }, 1 => undef, 1 => 'null')),
            weighted(10 => sub { sql_text(sprintf('2024-%02d-%02d %02d:%02d:%s+%02d', between(1, 12), between(1, 28), between(0, 23),
                    between(0, 59), pick('00', '59.5', '07.000001', '30.123456'), between(0, 13))) }, 1 => 'NULL')) . ')';
    }
    return @rows;
}

# A spec ---------------------------------------------------------------------------------------------

my $loose;    # how often a value or a target of any kind is taken
my $item;     # whether $item is known where we are
my $aliases;  # whether the spec has any
my $whole;    # whether the state may be copied whole here: twice, or into a list, it would double with every event

my %path = (
    number => ['$.n', '$.v', '$.n', '$.v', '$.o.n', '$.o.p.n', '$.l[0]', '$.l[1]', '$.items[0].n', '$.items[1].n', '$."ä"', '$.ä', '$event.position',
        '$event.metadata.n', '$event.metadata.user.n', '$state.total', '$state.count', '$state.o.n'],
    text => ['$.s', '$.t', '$.s', '$.t', '$.o.s', '$."x y"', '$.items[0].s', '$event.type', '$event.stream', '$event.occurredAt',
        '$event.metadata.s', '$event.metadata."user".s', '$."\\u0073"', '$state.name'],
    boolean => ['$.b'],
    id => ['$.id', '$.id', '$.items[0].sku', '$event.stream'],
    reference => ['$.ref', '$.items[0].ref'],
    kind => ['$.k', '$.k', '$.o.p.k', '$.items[0].k', '$.items[1]."k"'],
    object => ['$.o', '$.o', '$.items[0]', '$event.metadata.user', '$state.o'],
    list => ['$.l', '$.l[*]', '$.items[*].n', '$.items', '$.items[*].s', '$.items[*]'],
    any => ['$', '$event.metadata', '$.none', '$.none[0].x', '$[0]', '$.items[7]', '$.l[*][*]', '$.o[*]', '$.n.x', '$."none \\"x\\""']);
my %item_path = (
    number => ['$item.n'], text => ['$item.s'], id => ['$item.sku'], reference => ['$item.ref'], kind => ['$item.k'], object => ['$item'],
    boolean => [], list => [], any => ['$item', '$item.none']);
my @every_kind = qw(number text boolean id kind object list any);

sub path_of
{
    my ($kind) = @_;
    $kind = pick(@every_kind) if rand() < $loose;
    if ($kind eq 'any')
    {
        return '$state' if $whole && chance(0.1) && !($whole = 0);
        $kind = pick(@every_kind) if chance(0.7);
    }
    return pick(@{ $item_path{$kind} }) if $item && @{ $item_path{$kind} } && chance(0.5);
    return pick(@{ $path{$kind} });
}

# A path to one value at most, outside of the state where it may not be read.
sub single_path
{
    my ($kind, $state) = @_;
    while (1)
    {
        my $path = path_of($kind);
        return $path if $path !~ /\[\*\]/ && ($state || $path !~ /^\$state/);
    }
}

sub literal
{
    my ($kind) = @_;
    return '{}' if $kind eq 'object' && chance(0.2);
    return '[]' if $kind eq 'list' && chance(0.5);
    return template($kind) if $kind =~ /^(object|list)$/;
    return pick('null', 'true', '[]', '{}', '"$$x"', '"$$"', '"$$.n"') if $kind eq 'any' && chance(0.4);
    my $json = $make{ $kind eq 'any' ? pick(qw(number text boolean)) : $kind }->();
    # A text that begins with a dollar is escaped by another.
    return $json =~ s/^"\$/"\$\$/r;
}

sub template
{
    my ($kind) = @_;
    return list_json(map { value(pick('number', 'number', 'text')) } 1 .. between(1, 3)) if $kind eq 'list';
    return object_json(
        (chance(0.7) ? (n => value('number')) : ()),
        (chance(0.6) ? (s => value('text')) : ()),
        (chance(0.65) ? (id => value('id')) : ()),
        (chance(0.2) ? ('$k' => value('any')) : ()),
        (chance(0.2) ? (p => object_json(n => value('number'), k => value('kind'))) : ()));
}

# Of one thing, where a list could never do.
sub single_value
{
    my ($kind) = @_;
    while (1)
    {
        my $value = value($kind);
        return $value if $value !~ /^"\$[^\$].*\[\*\]/;
    }
}

sub value
{
    my ($kind) = @_;
    return 'null' if chance(0.02);
    return text_json(path_of($kind)) if chance($kind eq 'number' ? 0.7 : 0.75);
    return literal($kind);
}

my %target = (
    number => ['count', 'total', 'total', 'low', 'o.n', '"sum x"', 'deep.a.b', 'by[$.k]', 'by[$.k]', 'by2[$.k][$.s]', 'n[$.id]', 'by3[$.k].n', 'o.p.n'],
    text => ['name', 'name', 'first', 'o.s', 'texts[$.k]'],
    list => ['list', 'list', 'o2.list', 'lists[$.k]'],
    objects => ['lines', 'lines', 'o2.lines', 'linesOf[$.k]'],
    object => ['o', 'o3', 'objects[$.k]', 'o.p'],
    any => ['any', 'more.any', '[$.k]', 'anyOf[$event.type]', 'x$y.ä', '"\\"".""']);

sub target_of
{
    my ($kind) = @_;
    $kind = pick(keys_of(%target)) if $kind eq 'any' && chance(0.15) || rand() < $loose;
    my $target = pick(@{ $target{$kind} });
    $target =~ s/\$\./\$item./ if $item && $target =~ /\[\$\.[k]\]/ && chance(0.5);
    return $target;
}

sub keys_of { my %hash = @_; return sort keys %hash }

# The kind of state member that an operation works on, and of the value.
my %operations = (
    default => sub { my $kind = pick(qw(number text list objects object any)); ($kind, $kind eq 'objects' ? '[]' : value($kind)) },
    set => sub { my $kind = pick(qw(number text number text any any)); ($kind, $kind eq 'any' ? copied() : value($kind)) },
    merge => sub { ('object', chance(0.6) ? template('object') : single_value('object')) },
    add => sub { ('number', single_value('number')) },
    min => sub { my $kind = pick(qw(number text)); ($kind, single_value($kind)) },
    max => sub { my $kind = pick(qw(number text)); ($kind, single_value($kind)) },
    append => sub { chance(0.5) ? ('list', value(pick(qw(number text any)))) : ('objects', template('object')) },
    upsert => sub { ('objects', object_json(where => where(), (chance(0.85) ? (set => chance(0.9) ? template('object') : '{}') : ()))) },
    remove => sub { my $where = where(); (chance(0.9) ? 'objects' : 'list', object_json(where => $where)) },
    keep => sub { (pick(qw(list objects)), pick(0, 1, 2, 3, 5, '1e1')) });

my $copies;    # how many times a spec may still do that

sub copied
{
    $whole = $copies;
    my $value = text_json(path_of('any'));
    ($copies, $whole) = ($copies && $whole, 0);
    return chance(0.75) ? $value : literal('any');
}

sub where
{
    return object_json(weighted(
        10 => sub { (id => value('id')) }, 3 => sub { (n => text_json(path_of('number'))) }, 1 => sub { (s => value('text')) },
        1 => sub { (id => value('id'), n => value('number')) }, 1 => sub { (p => object_json(n => value('number'), k => value('kind'))) },
        1 => sub { (n => 'null') }));
}

# Whether one of the targets leads into another where that could never work. A path or an object above may do.
sub in_the_way
{
    my ($operation, $target, $operand, @others) = @_;
    while (my ($other, $others) = splice(@others, 0, 2))
    {
        my ($upper, $lower, $above) = length $target < length $other ? ($target, $other, $operand) : ($other, $target, $others);
        next if $lower !~ /^\Q$upper\E[.\[]/;
        return 1 if $operation !~ /^(default|set|merge)$/ || $above !~ /^(\{|"\$(?!\$))/;
    }
    return 0;
}

sub operations
{
    my @step;
    foreach my $name ((shuffled(keys_of(%operations), 'unset'))[0 .. between(0, 3)])
    {
        if ($name eq 'unset')
        {
            my @targets = map { text_json(target_of(pick(keys_of(%target)))) } 1 .. between(1, 2);
            push @step, unset => chance(0.5) ? $targets[0] : list_json(@targets);
            next;
        }
        my @targets;
        foreach (1 .. weighted(6 => 1, 3 => 2, 1 => 3))
        {
            my ($kind, $operand) = $operations{$name}->();
            # Two texts for one target are two members of the object, and the later one wins in jsonb.
            # The whole state goes to one place only: copies in several would hold one another.
            my $target = $operand eq '"$state"' ? 'any' : target_of($kind);
            # Nor does an object of the state go into itself.
            next if $target =~ /^o(\.|$)/ && $operand =~ /"\$state\.o"/;
            push @targets, $target, $operand if !in_the_way($name, $target, $operand, @targets);
        }
        push @step, $name => object_json(@targets);
    }
    return @step;
}

sub condition
{
    my ($depth) = @_;
    return weighted(
        4 => sub { object_json(exists => text_json(path_of(pick(@every_kind)))) },
        5 => sub { my $kind = pick(@every_kind); object_json(pick(qw(eq ne)), list_json(value($kind), value(chance(0.8) ? $kind : 'any'))) },
        5 => sub { my $kind = pick(qw(number text number text id any)); object_json(pick(qw(lt le gt ge)), list_json(single_value($kind), single_value($kind))) },
        2 => sub { my $kind = pick(qw(number text id kind)); object_json(in => list_json(value($kind), chance(0.7)
                    ? list_json(map { value(chance(0.9) ? $kind : 'any') } 1 .. between(1, 4)) : text_json(path_of('list')))) },
        $depth > 2 ? 0 : 4 => sub { object_json(pick(qw(and or)), list_json(map { condition($depth + 1) } 1 .. between(1, 3))) },
        $depth > 2 ? 0 : 3 => sub { object_json(not => condition($depth + 1)) });
}

# Returns the key, and whether $item is known under it.
sub key
{
    my $alone = sub {
        ($item) = @_;
        return weighted(12 => sub { text_json(single_path('id')) }, 2 => sub { pick('"one"', '7', '"$$x"', '""', '1.50') },
            $aliases ? 12 : 0 => sub { object_json(alias => text_json(single_path('reference'))) });
    };
    my $each = chance(0.25);
    my $json = $each
        ? object_json(each => text_json(pick('$.items[*]', '$.items[*]', '$.items', '$.l', '$.l[*]', '$[*]')), key => $alone->(1))
        : $alone->(0);
    return ($json, $each);
}

sub step
{
    my ($general_item) = @_;
    $item = $general_item;
    return '"delete"' if chance(0.015);
    my @step;
    if (chance($aliases ? 0.4 : 0.1))
    {
        my ($key, $each) = key();
        push @step, key => $key;
        $item = $each;
    }
    push @step, when => condition(0) if chance(0.35);
    push @step, alias => text_json(single_path('reference')) if $aliases && chance(0.5);
    push @step, operations() if !@step || $step[-2] ne 'alias' || chance(0.8);
    push @step, delete => 'true' if chance(0.025);
    push @step, add => object_json(count => 1) if @step == grep { /^(key|when)$/ } @step;
    my @pairs;
    while (my ($name, $json) = splice(@step, 0, 2)) { push @pairs, [$name, $json] }
    return object_json(map { @$_ } shuffled(@pairs));
}

# A spec as JSON. If it follows aliases, some step must remember them that does not follow one itself.
sub spec
{
    while (1)
    {
        my $json = any_spec();
        my $spec = JSON::PP->new->allow_nonref->decode($json);
        my $follows = sub { my ($key) = @_; return ref $key eq 'HASH' && (exists $key->{alias} || ref $key->{key} eq 'HASH') };
        my @steps = grep { ref } map { ref eq 'ARRAY' ? @$_ : $_ } values %{ $spec->{on} };
        my @keys = ($spec->{key}, map { $_->{key} } grep { exists $_->{key} } @steps);
        return $json if !grep { $follows->($_) } @keys;
        return $json if grep { exists $_->{alias} && !$follows->(exists $_->{key} ? $_->{key} : $spec->{key}) } @steps;
    }
}

sub any_spec
{
    $wrong = 0;
    $loose = chance(0.9) ? 0 : pick(0.01, 0.03, 0.1);
    ($whole, $copies) = (0, 1);
    local $Differential::Random::plain = chance(0.7);
    $aliases = chance(0.3);
    my ($key, $each) = key();
    ($key, $each) = key() if $key =~ /"alias"/ && chance(0.9);    # those who follow need others who remember
    my @on;
    foreach my $type ((shuffled(@types))[0 .. between(1, 3)], chance(0.3) ? '*' : ())
    {
        my @steps = map { step($each) } 1 .. weighted(6 => 1, 3 => 2, 1 => 3);
        push @on, $type, @steps == 1 && chance(0.8) ? $steps[0] : list_json(@steps);
    }
    return object_json(shuffled_pairs(key => $key, on => object_json(@on)));
}

sub shuffled_pairs { my @pairs = ([@_[0, 1]], [@_[2, 3]]); return map { @$_ } shuffled(@pairs) }

1;
