#include "http/exposition.hpp"

#include <charconv>
#include <cmath>
#include <concepts>

namespace http
{

namespace
{

std::string_view type_name(Metric metric, MetricsFormat format)
{
    const bool openmetrics = format == MetricsFormat::openmetrics;
    switch (metric)
    {
    case Metric::counter:
        return "counter";
    case Metric::histogram:
        return "histogram";
    case Metric::info:
        return openmetrics ? "info" : "gauge";
    case Metric::state_set:
        return openmetrics ? "stateset" : "gauge";
    case Metric::gauge:
        break;
    }
    return "gauge";
}

std::string_view suffix_of(Metric metric)
{
    switch (metric)
    {
    case Metric::counter:
        return "_total";
    case Metric::info:
        return "_info";
    default:
        return {};
    }
}

void append_escaped(std::string &out, std::string_view value)
{
    for (const char c : value)
    {
        if (c == '\n')
            out += "\\n";
        else if (c == '"' || c == '\\')
            (out += '\\') += c;
        else
            out += c;
    }
}

std::string digits(std::integral auto number)
{
    char text[32];
    return {text, std::to_chars(text, text + sizeof text, number).ptr};
}

std::string real(double number)
{
    if (std::isnan(number))
        return "NaN";
    if (std::isinf(number))
        return number > 0 ? "+Inf" : "-Inf";
    const double size = std::abs(number);
    char buffer[64];
    const auto format =
        size != 0 && (size < 1e-6 || size >= 1e15) ? std::chars_format::scientific : std::chars_format::fixed;
    std::string text(buffer, std::to_chars(buffer, buffer + sizeof buffer, number, format).ptr);
    // Bounds of histograms are compared as texts, so they have a point in all formats.
    if (text.find_first_of(".e") == std::string::npos)
        text += ".0";
    return text;
}

} // namespace

void Exposition::family(Metric kind, std::string_view family_name, std::string_view help, std::string_view unit)
{
    metric = kind;
    name = family_name;
    // The older format has the name of the samples, and knows no units.
    const bool openmetrics = format == MetricsFormat::openmetrics;
    const std::string shown = openmetrics ? name : name + std::string(suffix_of(kind));
    text.append("# TYPE ").append(shown).append(" ").append(type_name(kind, format)).append("\n");
    if (openmetrics && !unit.empty())
        text.append("# UNIT ").append(shown).append(" ").append(unit).append("\n");
    text.append("# HELP ").append(shown).append(" ").append(help).append("\n");
}

void Exposition::line(std::string_view suffix, const Labels &labels, std::string_view value)
{
    text.append(name).append(suffix);
    char before = '{';
    for (const Label &label : labels)
    {
        (text += before).append(label.name).append("=\"");
        append_escaped(text, label.value);
        text += '"';
        before = ',';
    }
    if (!labels.empty())
        text += '}';
    text.append(" ").append(value).append("\n");
}

void Exposition::sample(const Labels &labels, std::int64_t value)
{
    line(suffix_of(metric), labels, digits(value));
}

void Exposition::sample(const Labels &labels, std::uint64_t value)
{
    line(suffix_of(metric), labels, digits(value));
}

void Exposition::sample(const Labels &labels, double value)
{
    line(suffix_of(metric), labels, real(value));
}

void Exposition::states(const Labels &labels, std::span<const std::string_view> all, std::string_view present)
{
    for (const std::string_view state : all)
    {
        Labels with_state = labels;
        with_state.push_back({name, state});
        line({}, with_state, state == present ? "1" : "0");
    }
}

void Exposition::histogram(const Labels &labels, const LatencyHistogram &values)
{
    std::uint64_t up_to = 0;
    for (size_t i = 0; i < values.buckets.size(); i++)
    {
        up_to += values.buckets[i];
        const std::string bound = i < latency_bounds.size() ? real(latency_bounds[i]) : "+Inf";
        Labels with_bound = labels;
        with_bound.push_back({"le", bound});
        line("_bucket", with_bound, digits(up_to));
    }
    line("_sum", labels, real(values.sum));
    line("_count", labels, digits(values.count));
}

std::string Exposition::finish()
{
    // A comment in the older format, where it tells a whole answer from one that was cut off too.
    text += "# EOF\n";
    return std::move(text);
}

} // namespace http
