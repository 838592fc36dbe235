#include "query/failure_advice.hpp"

namespace query
{

namespace
{

std::string advice_for(std::string_view reason, std::string_view sqlstate)
{
    if (reason == "operator")
        return "Its first rebuild was cancelled; readmodel.retry() lets it go on.";
    if (reason == "definition_changed")
        return "As a rule nothing is to be called: the query is defined by itself as what it is now. Where that is not "
               "possible, readmodel.status() says why; readmodel.activate() builds what was rejected or cancelled.";
    if (reason == "source_rewound" || reason == "late_event")
        return "Call readmodel.rebuild(), once the events and the sequence are as they should be.";
    if (reason == "timeout")
        return "See what takes so long at that event, or raise the option \"rebuild_timeout\", then call "
               "readmodel.retry(). A replaced updater is followed by itself, as a new generation.";
    std::string advice = "readmodel.status() shows the message. Correct the event, or what the updater needs, then "
                         "call readmodel.retry(). A replaced updater is followed by itself, as a new generation.";
    if (sqlstate != "58000") // it brings down the process: nobody can pass over the event
        advice += " With the option \"on_error\" at \"skip\" events that are at fault are passed over.";
    return advice;
}

} // namespace

std::string failure_advice(std::string_view reason, std::string_view sqlstate, bool older)
{
    std::string advice = advice_for(reason, sqlstate);
    if (older && reason != "definition_changed")
        advice += " readmodel.cancel_rebuild() goes back to the older generation.";
    return advice;
}

} // namespace query
