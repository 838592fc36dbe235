// Updater: folds events into the states of a query, as its spec says.
//
// Two passes, so that the host can load the states of many events at once:
//
//     Updater updater(spec);
//     for (const Event &event : page)
//         if (updater.concerns(event.type))
//             updater.collect(event, collector);     // which ids and aliases; no state is touched
//     .. load the instances of the ids, and those that the aliases stand for ..
//     for (const Event &event : page)
//     {
//         updater.apply(event, host, changes);        // all of it, or UpdaterError and none of it
//         for (Instance *instance : changes.instances) ..
//     }
//
// An instance that an alias leads to in apply() is one that collect() named by id or by alias: an alias that was remembered
// earlier in the page stands for an instance of the page, all others are known before it. Not for several threads.
#pragma once

#include "fold/spec.hpp"
#include "fold/view.hpp"

#include <cstddef>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace fold
{

// An event that cannot be folded. The message is PostgreSQL style: cannot add to "total": it is text, not a number
class UpdaterError : public std::runtime_error
{
public:
    explicit UpdaterError(const std::string &what, bool is_limit = false) : std::runtime_error(what), limit(is_limit) {}

    bool limit; // program_limit_exceeded rather than invalid_parameter_value
    // What the updater knows of the place, which those who find the fault do not.
    std::string pointer;                 // RFC 6901: the part of the spec that failed
    std::optional<std::string> instance; // the id; nothing: it failed before one was found
};

// One read model's document. The host derives from it and adds what it needs. While exists is false, state is missing;
// otherwise it is an object.
struct Instance
{
    Value state;
    bool exists = false;
    // state.bytes(), kept by the updater; whoever sets the state sets it too.
    std::size_t bytes = 0;

private:
    friend class Journal;
    bool touched = false; // is in Changes::instances
};

class Host
{
public:
    virtual ~Host() = default;

    // The same one until the end of apply(). Null: another fold has it, and this one only keeps account of its aliases.
    virtual Instance *instance(std::string_view id) = 0;
    // Of one that instance() gave, for a message.
    virtual std::string id_of(const Instance &instance) const = 0;
    // The id that it stands for, if it is known.
    virtual std::optional<std::string> alias(std::string_view alias) = 0;
    // Called at the end of an apply() that succeeds, in order.
    virtual void remember(std::string_view alias, std::string_view id) = 0;
    virtual void forget_aliases_of(std::string_view id) = 0;
};

class Collector
{
public:
    virtual ~Collector() = default;

    virtual void id(std::string_view id) = 0;
    virtual void alias(std::string_view alias) = 0;
};

// What one apply() did; it is cleared at its begin, so that its memory is used again.
struct Changes
{
    // Change of the memory of all states. After an error too: everything has its old value again, but a vector may have kept
    // the room into which it grew.
    std::ptrdiff_t bytes = 0;
    // Whose state was changed, made or deleted, each once. Empty after an error.
    std::vector<Instance *> instances;
};

// The one instance that an event concerns, where the host knows it from collect(), which has named one id and no alias: apply()
// need not find it again.
struct Known
{
    Instance *instance = nullptr;
    std::string_view id;
};

class Updater
{
public:
    explicit Updater(const Spec &spec);
    Updater(Updater &&) noexcept;
    Updater &operator=(Updater &&) noexcept;
    ~Updater();

    // Whether the spec covers events of this type (a text, or missing).
    bool concerns(const View &type);
    // Throws an UpdaterError where a key is of a wrong kind, as apply() would.
    void collect(const Event &event, Collector &collector);
    void apply(const Event &event, Host &host, Changes &changes, Known known = {});

private:
    class Folding;
    std::unique_ptr<Folding> folding;
};

} // namespace fold
