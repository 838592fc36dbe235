// Which generation a query's view shows: the takeover by one that was built, and what an operator's choice shares with it.
#pragma once

#include "query/generation.hpp"

namespace query
{

// The rest of a rebuild: makes the generation live and, where it is the newest, the serving one: view, serving generation and
// phase change in this transaction. Waits for nobody but the view's readers, and for these no longer than patience_ms: throws 55P03
// when they or a define_query are in the way.
void take_over(const Generation &generation, int patience_ms);

// Whether it has one before it: also one that is live already, when it becomes the newest again and the view shows another.
inline bool awaits_takeover(const Generation &generation)
{
    return generation.phase != Phase::live || (generation.newest && !generation.serving);
}

// Who keeps take_over() from the view or the states.
struct TakeoverBlocker
{
    int pid = 0;               // 0: nobody, or somebody in another way than by a lock on these
    Oid relation = InvalidOid; // what he has locked
};

// Needs a snapshot.
TakeoverBlocker takeover_blocker(const Generation &generation);

// Tries after which a takeover begins to wait, and is told to be waiting.
inline constexpr int tries_without_waiting = 20;

// How long the next try at a takeover may wait for the view's readers, behind whom others then wait: not at all, as a rule. Where there
// never is a moment without a reader, a little, and seldom: the tries are to be ten such waits apart.
int takeover_patience_ms(int tries);

// What the view has to know of the generation that it is to show.
struct ShownGeneration
{
    int32 query_id = 0;
    std::string query_name;
    Oid view =
        InvalidOid; // dropped by its owner: it stays away until define_query makes it again, for what serves then
    int32 generation_id = 0;
    Oid state_table = InvalidOid;
    KeyType key_type = KeyType::text;
};

// Lets the view show it, from the commit of this transaction on. Waits for nobody: throws 55P03 when somebody reads the view, 2BP01
// when the key's type differs and other objects depend on the view. The caller changes query.serving.
void show_generation(const ShownGeneration &shown);

// Locks the view for show_generation() as soon as nobody reads it, and never waits in the lock's queue, where other readers would
// wait behind it. Throws 55P03 after readmodel.lock_timeout.
void lock_view_between_readers(Oid view, const std::string &query_name);

} // namespace query
