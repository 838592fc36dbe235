// Writes a value in jsonb's stored form, as convertJsonbValue() in utils/adt/jsonb_util.c does.
#pragma once

#include "pg/postgres.hpp"

#include "fold/value.hpp"

namespace query
{

// Appends the whole jsonb datum, with its header, of an object or array. Throws fold::LimitError if it would be larger than
// jsonb can hold.
void encode_jsonb(const fold::Value &value, std::string &out);

} // namespace query
