// A rebuild that is split: each of its lanes folds a share of the instances, chosen by their ids, with a checkpoint of its own.
//
// All shares go from nothing to the same position, which was settled when the rebuild was split. The lane that finishes the last one
// turns them into the generation's checkpoint, in the same transaction; from there on it is a generation like others. While it has
// shares, its own checkpoint stays NULL, and nothing but their lanes moves it.
#pragma once

#include "pg/guard.hpp"
#include "source/position.hpp"

namespace query
{

using source::MaybePosition;
using source::Position;

// Instances that are named one by one, by the bytes of their ids.
struct ChosenInstances
{
    std::set<std::string, std::less<>> ids;
    bool collecting = false; // whatever an event names is added

    bool owns(std::string_view id)
    {
        if (collecting)
            ids.emplace(id);
        return collecting || ids.contains(id);
    }
};

// Which instances a lane folds, or a replay.
struct InstanceShare
{
    int number = 0;
    int count = 1;
    ChosenInstances *chosen = nullptr; // with count = 0: these, and no others

    static InstanceShare only(ChosenInstances &chosen) { return {0, 0, &chosen}; }

    // By the id's bytes; the same in every process of a server, and of others with the same byte order.
    bool owns(std::string_view id) const
    {
        if (count == 0)
            return chosen->owns(id);
        return count == 1 ||
               hash_bytes_extended(reinterpret_cast<const unsigned char *>(id.data()), static_cast<int>(id.size()), 0) %
                       static_cast<uint64>(count) ==
                   static_cast<uint64>(number);
    }
};

// A row of readmodel_catalog.share.
struct Share
{
    int32 generation_id = 0;
    int number = 0;
    int count = 1; // of shares of the generation
    MaybePosition position;
    Position up_to = 0;
    bool finished = false;

    InstanceShare instances() const { return {number, count, nullptr}; }
};

struct CheckpointMove;

// These need an SPI connection, as a superuser.

// All shares of the database, by generation and number, under the active snapshot.
std::vector<Share> load_shares();

// Splits the rebuild of a generation that has applied nothing. False: somebody has begun it meanwhile.
bool split_rebuild(int32 generation_id, int shares, Position up_to);

// As move_checkpoint(), for one share.
bool move_share(const CheckpointMove &move, int share);

// The share has come to its end, in the transaction that has moved it there. True: so have the others, and what they have done is the
// generation's checkpoint now. Nothing: there is no such share, or it was finished before. The table of states is locked.
std::optional<bool> finish_share(int32 generation_id, int share);

} // namespace query
