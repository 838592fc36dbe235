// What folding one event takes: a step with set, two adds, append and keep on a warm state, and its parts.
#include "fold/json.hpp"
#include "fold/spec.hpp"
#include "fold/updater.hpp"

#include <benchmark/benchmark.h>

#include <string>
#include <vector>

namespace
{

// One instance only: what is measured is the library, not its host.
class OneInstance final : public fold::Host
{
public:
    fold::Instance *instance(std::string_view) override { return &only; }
    std::string id_of(const fold::Instance &) const override { return "1"; }
    std::optional<std::string> alias(std::string_view) override { return "1"; }
    void remember(std::string_view, std::string_view) override {}
    void forget_aliases_of(std::string_view) override {}

    fold::Instance only;
};

class Ids final : public fold::Collector
{
public:
    void id(std::string_view id) override { length += id.size(); }
    void alias(std::string_view alias) override { length += alias.size(); }
    std::size_t length = 0;
};

// Orders of a shop, whose amounts and ids differ.
class Orders
{
public:
    explicit Orders(std::size_t count)
    {
        documents.reserve(count);
        for (std::size_t i = 0; i < count; ++i)
            documents.push_back(
                fold::parse_json(R"({"customer":)" + std::to_string(i % 7 + 1000) + R"(,"orderId":"order-)" +
                                 std::to_string(100000 + i) + R"(","amount":)" + std::to_string(10 + i % 90) + "." +
                                 std::to_string(10 + i % 89) + R"(,"status":")" + (i % 3 == 0 ? "paid" : "open") +
                                 R"(","note":"left at the neighbour's door","lines":[{"sku":"a","qty":1},)" +
                                 R"({"sku":"b","qty":2},{"sku":"c","qty":3}]})"));
    }

    fold::Event event(std::size_t i) const
    {
        fold::Event event;
        event.reader = &fold::TreeReader::get();
        event.data = fold::TreeReader::view(documents[i % documents.size()]);
        event.type = type;
        event.position = static_cast<std::int64_t>(i);
        return event;
    }

private:
    std::vector<fold::Value> documents;
    fold::Value type_text = fold::Value::text("OrderPlaced");
    fold::View type = fold::TreeReader::view(type_text);
};

void fold_orders(benchmark::State &state, const char *step, const char *key = R"("$.customer")",
                 std::size_t forget_after = 0)
{
    const fold::Spec spec =
        fold::Spec::parse(std::string(R"({"key":)") + key + R"(,"on":{"OrderPlaced":)" + step + "}}");
    fold::Updater updater(spec);
    OneInstance host;
    fold::Changes changes;
    const Orders orders(64); // few enough to stay in the processor: reading events is another matter
    std::size_t i = 0;
    for (auto _ : state)
    {
        updater.apply(orders.event(i++), host, changes);
        if (forget_after != 0 && i % forget_after == 0)
        {
            host.only.state = fold::Value();
            host.only.exists = false;
            host.only.bytes = 0;
        }
    }
    state.SetItemsProcessed(static_cast<std::int64_t>(i));
}

void collect(benchmark::State &state)
{
    const fold::Spec spec = fold::Spec::parse(R"({"key":"$.customer","on":{"OrderPlaced":{"add":{"n":1}}}})");
    fold::Updater updater(spec);
    Ids ids;
    const Orders orders(64); // few enough to stay in the processor: reading events is another matter
    std::size_t i = 0;
    for (auto _ : state)
        updater.collect(orders.event(i++), ids);
    benchmark::DoNotOptimize(ids.length);
}

} // namespace

// The aim is 350 ns.
BENCHMARK_CAPTURE(fold_orders, shop,
                  R"({"set":{"status":"$.status"},"add":{"orders":1,"total":"$.amount"},)"
                  R"("append":{"recent":{"id":"$.orderId","amount":"$.amount"}},"keep":{"recent":10}})");
BENCHMARK_CAPTURE(fold_orders, shop_by_text,
                  R"({"set":{"status":"$.status"},"add":{"orders":1,"total":"$.amount"},)"
                  R"("append":{"recent":{"id":"$.orderId","amount":"$.amount"}},"keep":{"recent":10}})",
                  R"("$.orderId")");
BENCHMARK_CAPTURE(fold_orders, shop_guarded,
                  R"({"when":{"and":[{"eq":["$.status","paid"]},{"gt":["$.amount",20]}]},"add":{"orders":1}})");
BENCHMARK_CAPTURE(fold_orders, set, R"({"set":{"status":"$.status"}})");
BENCHMARK_CAPTURE(fold_orders, add_1, R"({"add":{"orders":1}})");
BENCHMARK_CAPTURE(fold_orders, add_amount, R"({"add":{"total":"$.amount"}})");
BENCHMARK_CAPTURE(fold_orders, max, R"({"max":{"largest":"$.amount"}})");
BENCHMARK_CAPTURE(fold_orders, append_keep, R"({"append":{"recent":"$.amount"},"keep":{"recent":10}})");
BENCHMARK_CAPTURE(fold_orders, computed_name, R"({"add":{"by[$.status]":1}})");
BENCHMARK_CAPTURE(fold_orders, upsert, R"({"upsert":{"l":{"where":{"sku":"$.status"},"set":{"qty":"$.amount"}}}})");
BENCHMARK_CAPTURE(fold_orders, each_of_three, R"({"add":{"qty":"$item.qty"}})",
                  R"({"each":"$.lines[*]","key":"$item.sku"})");
BENCHMARK_CAPTURE(fold_orders, reads_state, R"({"set":{"previous":"$state.status","status":"$.status"}})");
BENCHMARK_CAPTURE(fold_orders, alias, R"({"add":{"orders":1}})", R"({"alias":"$.orderId"})");
BENCHMARK(collect);
