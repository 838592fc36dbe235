// The parameters of a request, checked: what is unknown, given twice or malformed is a 400, since a misspelt min_position
// that was passed over would answer with too old a state.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "http/target.hpp"

namespace http
{

class ParameterReader
{
public:
    explicit ParameterReader(const Target &target) : given(target.parameters), seen(given.size()) {}

    std::optional<std::string> text(std::string_view name);
    std::vector<std::string> texts(std::string_view name); // may be repeated
    // 64 hexadecimal digits.
    std::optional<std::string> hash(std::string_view name);
    std::optional<std::int64_t> number(std::string_view name, std::int64_t least, std::int64_t most);

    // What is wrong, for the client, once everything that is known was read; empty: nothing.
    std::string fault();

private:
    void complain(std::string text);

    const std::vector<std::pair<std::string, std::string>> &given;
    std::vector<bool> seen;
    std::string first_fault;
};

} // namespace http
