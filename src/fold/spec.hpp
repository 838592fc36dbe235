// Spec: a declarative updater, checked and compiled.
//
// The language is described in the README; program.hpp has the compiled form. A Spec never changes, and copies of it
// share one program.
#pragma once

#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace fold
{

struct Program;

// What is wrong with a spec. what() is the message: invalid spec at /on/OrderPlaced/ad
class SpecError : public std::runtime_error
{
public:
    SpecError(std::string where, std::string found, std::string advice = {});

    std::string pointer; // RFC 6901; empty for the spec as a whole
    std::string detail;  // what was found and what is allowed: sentences
    std::string hint;    // a sentence, or empty
};

class Spec
{
public:
    static Spec parse(std::string_view json); // throws SpecError

    // The types that it covers, sorted by bytes; nothing: all, also that of events without a type ("*").
    std::optional<std::vector<std::string>> event_types() const;

    bool uses_aliases() const; // remembers or follows any
    // Whether the instances can be divided among several folds, each of which keeps all aliases: not if a state decides which are
    // remembered or forgotten, since only one of the folds has it.
    bool splittable() const;
    // Whether an event changes one instance at most, and nothing beside it: neither several, nor aliases.
    bool concerns_one_instance() const;
    bool reads_data() const;
    bool reads_metadata() const;
    bool reads_occurred_at() const;
    bool reads_stream() const;

    const Program &program() const { return *compiled; }

private:
    friend class Updater;
    explicit Spec(std::shared_ptr<const Program> program) : compiled(std::move(program)) {}

    std::shared_ptr<const Program> compiled;
};

} // namespace fold
