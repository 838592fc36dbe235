// Values, decimals and paths by themselves.
#include "fold/json.hpp"
#include "fold/path.hpp"
#include "fold/syntax.hpp"
#include "fold/value.hpp"

#include <benchmark/benchmark.h>

#include <string>

namespace
{

using fold::Decimal;

constexpr const char *state_json =
    R"({"name":"Ada Lovelace","orders":1234,"total":98765.43,"status":"paid","recent":[)"
    R"({"id":"order-100001","amount":10.10},{"id":"order-100002","amount":10.10},{"id":"order-100003","amount":10.10},)"
    R"({"id":"order-100004","amount":10.10},{"id":"order-100005","amount":10.10},{"id":"order-100006","amount":10.10},)"
    R"({"id":"order-100007","amount":10.10},{"id":"order-100008","amount":10.10},{"id":"order-100009","amount":10.10}]})";

void decimal_add(benchmark::State &state, const char *a, const char *b)
{
    const Decimal start = *Decimal::parse(a);
    const Decimal step = *Decimal::parse(b);
    Decimal sum = start;
    for (auto _ : state)
    {
        sum += step;
        benchmark::DoNotOptimize(sum);
    }
}

void decimal_parse(benchmark::State &state)
{
    for (auto _ : state)
        benchmark::DoNotOptimize(Decimal::parse("12345.67"));
}

void decimal_from_base10000(benchmark::State &state)
{
    const std::int16_t digits[] = {1, 2345, 6700};
    for (auto _ : state)
        benchmark::DoNotOptimize(Decimal::from_base10000(digits, 1, false, 2));
}

void decimal_to_base10000(benchmark::State &state)
{
    const Decimal number = *Decimal::parse("12345.67");
    for (auto _ : state)
        benchmark::DoNotOptimize(number.to_base10000());
}

void decimal_text(benchmark::State &state)
{
    const Decimal number = *Decimal::parse("12345.67");
    std::string out;
    for (auto _ : state)
    {
        out.clear();
        number.append_to(out);
        benchmark::DoNotOptimize(out);
    }
}

void value_copy(benchmark::State &state)
{
    const fold::Value value = fold::parse_json(state_json);
    for (auto _ : state)
        benchmark::DoNotOptimize(value.copy());
}

void value_bytes(benchmark::State &state)
{
    const fold::Value value = fold::parse_json(state_json);
    for (auto _ : state)
        benchmark::DoNotOptimize(value.bytes());
}

void value_equals(benchmark::State &state)
{
    const fold::Value value = fold::parse_json(state_json);
    const fold::Value other = value.copy();
    for (auto _ : state)
        benchmark::DoNotOptimize(value.equals(other));
}

void value_find(benchmark::State &state)
{
    fold::Value object = fold::Value::object();
    for (int i = 0; i < state.range(0); ++i)
        object.put("member " + std::to_string(i), fold::Value::null());
    const std::string name = "member " + std::to_string(state.range(0) / 2);
    for (auto _ : state)
        benchmark::DoNotOptimize(object.find(name));
}

void path_locate(benchmark::State &state, const char *text)
{
    const fold::Path path = fold::parse_path(text);
    const fold::Value value = fold::parse_json(state_json);
    fold::Event event;
    event.reader = &fold::TreeReader::get();
    event.data = fold::TreeReader::view(value);
    fold::Scope scope;
    scope.event = &event;
    for (auto _ : state)
    {
        if (path.many)
            benchmark::DoNotOptimize(fold::visit_all(
                path, scope, [](const fold::Located &place) { return place.kind() != fold::Kind::null; }));
        else
            benchmark::DoNotOptimize(fold::locate(path, scope));
    }
}

} // namespace

BENCHMARK_CAPTURE(decimal_add, same_scale, "0.00", "19.90");
BENCHMARK_CAPTURE(decimal_add, other_scale, "0.00", "1");
BENCHMARK_CAPTURE(decimal_add, beyond_128_bits, "10000000000000000000000000000000000000000000.00", "19.90");
BENCHMARK(decimal_parse);
BENCHMARK(decimal_from_base10000);
BENCHMARK(decimal_to_base10000);
BENCHMARK(decimal_text);
BENCHMARK(value_copy);
BENCHMARK(value_bytes);
BENCHMARK(value_equals);
BENCHMARK(value_find)->Arg(4)->Arg(8)->Arg(16)->Arg(100);
BENCHMARK_CAPTURE(path_locate, member, "$.status");
BENCHMARK_CAPTURE(path_locate, deep, "$.recent[3].amount");
BENCHMARK_CAPTURE(path_locate, many, "$.recent[*].amount");
