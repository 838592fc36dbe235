// The operations of a step, applied to an instance: the table of the README, row by row.
#pragma once

#include "fold/evaluation.hpp"
#include "fold/journal.hpp"
#include "fold/program.hpp"
#include "fold/updater.hpp"

#include <string>
#include <vector>

namespace fold
{

class Operations
{
public:
    Operations(const Evaluator &values, Journal &undo) : evaluator(values), journal(undo) {}

    // All but delete, of which the updater also forgets the aliases. Throws UpdaterError and LimitError.
    void apply(const Operation &operation, Instance &instance);
    void delete_instance(Instance &instance);

private:
    // Where a target is, as far as it is there.
    struct Place
    {
        Value *object = nullptr; // the innermost object that is there; null if the instance does not exist
        Value *value = nullptr;  // the target itself, if it is there
        std::size_t depth = 0;   // how many of the names lead to object
    };

    bool name_target(const Target &target); // false: a name is missing
    Place find(const Operation &operation, Instance &instance) const;
    static bool is_nothing(const Place &place) { return !place.value || place.value->is(Kind::null); }

    void write(Instance &instance, const Place &place, Value value);
    void write_element(Instance &instance, Value &array, Value element);
    void check_depth(std::size_t containers, const Value &value) const;

    void set_default(const Operation &operation, Instance &instance);
    void set(const Operation &operation, Instance &instance);
    void unset(const Operation &operation, Instance &instance);
    void merge(const Operation &operation, Instance &instance);
    void add(const Operation &operation, Instance &instance);
    void pick(const Operation &operation, Instance &instance);
    void append(const Operation &operation, Instance &instance);
    void upsert(const Operation &operation, Instance &instance);
    void remove(const Operation &operation, Instance &instance);
    void keep(const Operation &operation, Instance &instance);

    bool evaluate_where(const Operation &operation);
    bool matches(const Operation &operation, const Value &element) const;
    Value made_element(const Operation &operation) const;
    void change_element(const Operation &operation, Instance &instance, Value &list, std::size_t index);

    const Evaluator &evaluator;
    Journal &journal;
    std::size_t first = 0; // the target's names in the journal
    std::size_t count = 0;
    std::vector<Operand> where;
    std::vector<std::uint32_t> matching;
};

// What an operation does, for messages: add to "total"
std::string describe(const Operation &operation);

} // namespace fold
