// Reads of single states of one query that go to the server together go as one statement: what it costs to begin one, and to find out
// how the query stands, is more than what it costs to find a state.
#pragma once

#include <deque>

#include "http/database.hpp"

namespace http
{

// The same reads, in the order of the first of each, with those whose statement gathers made into one where they differ in their second
// parameter alone. That is a list then, of which each of them gets its row; if the statement fails, all of them are told.
std::deque<Read> gathered(std::deque<Read> reads);

} // namespace http
