#include "query/options.hpp"

#include "fold/words.hpp"
#include "query/catalog.hpp"

namespace query
{

namespace
{

constexpr std::string_view known[] = {"version",  "schema",           "while_rebuilding", "on_change",
                                      "on_error", "max_dead_letters", "rebuild_timeout",  "updater_timeout",
                                      "max_lag",  "parallel",         "keep_generations"};

struct Given
{
    std::string name;
    std::string type;  // jsonb_typeof
    std::string value; // of a string without its quotes
    std::string json;
};

pg::Error invalid(const Given &option, const std::string &allowed)
{
    return pg::Error(ERRCODE_INVALID_PARAMETER_VALUE,
                     "invalid value for option " + pg::shown(option.name) + ": " + option.json)
        .detail("Allowed: " + allowed + ".");
}

std::string text_of(const Given &option, const std::string &allowed)
{
    if (option.type != "string")
        throw invalid(option, allowed);
    return option.value;
}

// True for the second of two words.
bool choice(const Given &option, const char *first, const char *second)
{
    const std::string allowed = std::string("\"") + first + "\" or \"" + second + "\"";
    const std::string value = text_of(option, allowed);
    if (value != first && value != second)
        throw invalid(option, allowed);
    return value == second;
}

int integer(const Given &option, int least, int most)
{
    const std::string allowed = "an integer from " + std::to_string(least) + " to " + std::to_string(most);
    int value = 0;
    const char *const end = option.value.data() + option.value.size();
    const auto [stop, error] = std::from_chars(option.value.data(), end, value);
    if (option.type != "number" || error != std::errc() || stop != end || value < least || value > most)
        throw invalid(option, allowed);
    return value;
}

int64 interval(const Given &option)
{
    const std::string allowed = "an interval above zero, such as \"5 min\"";
    const std::string value = text_of(option, allowed);
    std::optional<int64> span;
    try
    {
        span = interval_us(value);
    }
    catch (const pg::PgError &)
    {
        // Told below, with the option's name: PostgreSQL's own message does not have it.
    }
    if (!span || *span <= 0)
        throw invalid(option, allowed);
    return *span;
}

void apply(const Given &option, Options &options)
{
    const std::string &name = option.name;
    if (name == "version")
        options.version = text_of(option, "a text");
    else if (name == "schema")
    {
        options.schema = text_of(option, "the name of a schema");
        if (options.schema.empty() || options.schema.size() >= NAMEDATALEN)
            throw invalid(option, "the name of a schema, of up to 63 bytes");
    }
    else if (name == "while_rebuilding")
        options.serve_previous = choice(option, "unavailable", "serve_previous");
    else if (name == "on_change")
        options.gate = choice(option, "rebuild", "gate");
    else if (name == "on_error")
        options.skip_errors = choice(option, "fail", "skip");
    else if (name == "max_dead_letters")
        options.max_dead_letters = integer(option, 0, 1000000000);
    else if (name == "rebuild_timeout")
        options.rebuild_timeout = interval(option);
    else if (name == "updater_timeout")
        options.updater_timeout = interval(option);
    else if (name == "max_lag")
        options.max_lag = interval(option);
    else if (name == "parallel")
        options.parallel = integer(option, 1, 64);
    else if (name == "keep_generations")
        options.keep_generations = integer(option, 0, 100);
}

void require_known(const std::string &name)
{
    std::string names;
    for (const std::string_view option : known)
    {
        if (name == option)
            return;
        names += (names.empty() ? "" : ", ") + std::string(option);
    }
    throw pg::Error(ERRCODE_INVALID_PARAMETER_VALUE, "unrecognized option " + pg::shown(name))
        .hint(fold::suggestion(name, known) + (fold::nearest(name, known).empty() ? "" : " ") +
              "Options are: " + names + ".");
}

} // namespace

int64 interval_us(const std::string &text)
{
    return pg::call(
        [&]
        {
            const Interval *const parsed = DatumGetIntervalP(DirectFunctionCall3(
                interval_in, CStringGetDatum(text.c_str()), ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
            const double days = parsed->month * 30.0 + parsed->day;
            if (days > 36500 || days < -36500 || parsed->time > INT64CONST(36500) * USECS_PER_DAY)
                return int64(0); // a century is a typing error, and would overflow
            return static_cast<int64>(days) * USECS_PER_DAY + parsed->time;
        });
}

Options parse_options(const std::optional<Datum> &given)
{
    Options options;
    if (!given)
        return options;
    if (!pg::call([&] { return JB_ROOT_IS_OBJECT(DatumGetJsonbP(*given)); }))
        throw pg::Error(ERRCODE_INVALID_PARAMETER_VALUE, "options must be a JSON object")
            .hint("For example: options => '{\"while_rebuilding\": \"serve_previous\"}'");

    std::vector<Given> members;
    {
        const CatalogScope scope;
        const pg::Rows rows =
            pg::execute("SELECT key, jsonb_typeof(value), value #>> '{}', value::text FROM jsonb_each($1)"
                        " ORDER BY key",
                        pg::Args().add(JSONBOID, *given), true);
        for (uint64 row = 0; row < rows.size(); row++)
            members.push_back(
                {*rows.text(row, 1), *rows.text(row, 2), rows.text(row, 3).value_or("null"), *rows.text(row, 4)});
        const pg::Rows kept =
            pg::execute("SELECT coalesce(jsonb_object_agg(key, value), '{}')::text FROM jsonb_each($1)"
                        " WHERE value <> 'null'",
                        pg::Args().add(JSONBOID, *given), true);
        options.stored = *kept.text(0, 1);
    }
    for (const Given &member : members)
    {
        require_known(member.name);
        if (member.type == "null")
            continue; // as if it were left out
        apply(member, options);
    }
    return options;
}

} // namespace query
