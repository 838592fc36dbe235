// The exposition formats of metrics: OpenMetrics 1.0 and Prometheus' text 0.0.4. Families are written one after another, each
// with all of its samples.
//
//     Exposition out(MetricsFormat::openmetrics);
//     out.family(Metric::counter, "readmodel_query_batches", "Batches that were stored.");
//     out.sample({{"query", name}}, 7);
//     return out.finish();
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "http/metrics.hpp"

namespace http
{

enum class Metric
{
    gauge,
    counter,   // samples have the suffix _total
    info,      // .. _info, and the value 1
    state_set, // the state is in a label that has the family's name
    histogram,
};

struct Label
{
    std::string_view name, value;
};
using Labels = std::vector<Label>;

class Exposition
{
public:
    explicit Exposition(MetricsFormat kind) : format(kind) {}

    // The name without the suffix of a counter's or an info's samples. A unit is the name's last word. The text has no line breaks,
    // quotes or backslashes.
    void family(Metric kind, std::string_view name, std::string_view help, std::string_view unit = {});

    void sample(const Labels &labels, std::int64_t value);
    void sample(const Labels &labels, std::uint64_t value);
    void sample(const Labels &labels, double value);
    // Nothing where there is no value.
    template <class Value>
    void sample(const Labels &labels, const std::optional<Value> &value)
    {
        if (value)
            sample(labels, *value);
    }
    void states(const Labels &labels, std::span<const std::string_view> all, std::string_view present);
    void histogram(const Labels &labels, const LatencyHistogram &values);

    std::string finish();

private:
    void line(std::string_view suffix, const Labels &labels, std::string_view value);

    MetricsFormat format;
    Metric metric = Metric::gauge;
    std::string name; // of the family
    std::string text;
};

} // namespace http
