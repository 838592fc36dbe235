// Fuzzes what the HTTP service reads by itself: targets, their parameters, lists of entity tags, and the headers Host and Accept. Whatever is taken can be stored,
// and is the same when it is written and read once more.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "http/etag.hpp"
#include "http/host.hpp"
#include "http/metrics.hpp"
#include "http/parameters.hpp"
#include "http/target.hpp"

namespace
{

void must(bool condition)
{
    if (!condition)
        std::abort();
}

std::string written(const http::Target &target)
{
    std::string text = target.segments.empty() ? "/" : "";
    for (const std::string &segment : target.segments)
        text += "/" + http::percent_encoded(segment);
    const char *before = "?";
    for (const auto &[name, value] : target.parameters)
    {
        text += before + http::percent_encoded(name) + "=" + http::percent_encoded(value);
        before = "&";
    }
    return text;
}

void read_target(std::string_view text)
{
    std::string fault;
    const auto target = http::parse_target(text, fault);
    must(target.has_value() == fault.empty());
    if (!target)
        return;
    for (const std::string &segment : target->segments)
        must(http::storable(segment));
    for (const auto &[name, value] : target->parameters)
        must(http::storable(name) && http::storable(value));
    // A path of one empty segment is written as the root is.
    const bool ambiguous = target->segments.size() == 1 && target->segments[0].empty();
    const auto again = http::parse_target(written(*target), fault);
    must(again.has_value() && again->parameters == target->parameters);
    must(ambiguous || again->segments == target->segments);

    http::ParameterReader reader(*target);
    reader.texts("query");
    reader.hash("hash");
    const auto number = reader.number("n", 0, 1000);
    must(!number || (*number >= 0 && *number <= 1000));
    must(http::storable(reader.fault()));
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const std::string_view text(reinterpret_cast<const char *>(data), size);
    read_target(text);
    const std::string tag = "\"1-0123abcd-7-2026\"";
    http::matches(text, tag);
    // A list goes on after any tag, and so finds ours at its end.
    must(!http::matches(text, "\"\"") || text.find_first_of("\"*") != text.npos);
    const bool own = http::is_own_host(text, {"readmodel"});
    must(own == http::is_own_host(text, {"readmodel", "elsewhere"}) || text.size() >= 9);
    must(!own || text.find_first_of("/@%\\") == text.npos);
    http::metrics_format(text);
    return 0;
}
