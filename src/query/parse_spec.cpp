#include "query/parse_spec.hpp"

namespace query
{

fold::Spec parse_spec(const std::string &text)
{
    try
    {
        return fold::Spec::parse(text);
    }
    catch (const fold::SpecError &error)
    {
        throw pg::Error(ERRCODE_INVALID_PARAMETER_VALUE, error.what()).detail(error.detail).hint(error.hint);
    }
}

} // namespace query
