// A row of a result as a JSON object: the members are its columns, in camel case.
#pragma once

#include <string>

#include <libpq-fe.h>

namespace http
{

// Numbers are numbers, unless they are integers that a JavaScript number would round: those are strings of digits. Columns of
// type json are taken as they are, everything else is a string; NULL is null.
void append_row_json(std::string &out, const PGresult *result, int row);

// All rows, as a list.
void append_rows_json(std::string &out, const PGresult *result);

} // namespace http
