#include "http/report.hpp"

#include "http/reading.hpp"

namespace http
{

std::optional<Response> unreported(const ReadResult &result)
{
    if (result.kind != ReadResult::Kind::rows)
        return not_answered(statements::readiness_report, result);
    for (int row = 0; row < result.rows(); row++)
        if (result.text(row, report::status) == "hidden")
            return unavailable();
    return std::nullopt;
}

} // namespace http
