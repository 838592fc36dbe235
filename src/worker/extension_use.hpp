// Whether a worker may work with the extension of its database now.
#pragma once

#include "pg/guard.hpp"

namespace worker
{

enum class Usable
{
    yes,           // it stays as it is until the transaction ends
    absent,        // there is none
    busy,          // another session changes or drops it, or it was made anew: what is known about it is out of date
    other_version, // the catalog is not the one that the library knows
};

// Takes AccessShareLock on the extension object until the end of the transaction, without waiting, and looks it up under the
// lock. First thing in a transaction, before anything of the extension is looked at.
Usable use_extension();

} // namespace worker
