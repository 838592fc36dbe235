// What readiness_report() says: how queries stand, for whoever asks about some or all of them.
#pragma once

#include <optional>

#include "http/database.hpp"
#include "http/response.hpp"

namespace http
{

// Its columns, in the order of statements::readiness_report.
namespace report
{
enum Column
{
    name,
    status,
    reason,
    generation,
    definition_hash,
    position,
    lag,
    estimated_seconds_remaining,
    served,
    served_generation,
    served_definition_hash,
};
} // namespace report

// The response where there is nothing to tell: the statement failed, or the role may not see the queries any more, and so cannot say
// that all is well. Nothing if the rows may be told.
std::optional<Response> unreported(const ReadResult &result);

} // namespace http
