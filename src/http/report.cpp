#include "http/report.hpp"

#include <chrono>

#include "http/log.hpp"
#include "http/reading.hpp"

namespace http
{

namespace
{

// Every probe meets it: it is logged once in a while.
void log_hidden()
{
    constexpr auto pause = std::chrono::seconds(10);
    static std::optional<Clock::time_point> logged;
    if (logged && Clock::now() - *logged < pause)
        return;
    logged = Clock::now();
    log::warning("the role may not see the queries any more: call readmodel.grant_reader() for it");
}

} // namespace

std::optional<Response> unreported(const ReadResult &result)
{
    if (result.kind != ReadResult::Kind::rows)
        return not_answered(statements::readiness_report, result);
    for (int row = 0; row < result.rows(); row++)
        if (result.text(row, report::status) == "hidden")
        {
            log_hidden();
            return unavailable();
        }
    return std::nullopt;
}

} // namespace http
