// Folds that have ended their process, or the server: counted per generation, until it gets past where it stood.
#pragma once

#include "pg/guard.hpp"
#include "source/position.hpp"

namespace query
{

// So often in a row, with no progress in between, and the generation fails.
inline constexpr int most_attempts = 3;

// Counts one more, at the event in hand. Returns how many there were since the generation has moved last; nothing if it is gone.
std::optional<int> record_attempt(int32 generation_id, const source::MaybePosition &position);

// It, and those of its query that have the same definition and still have to come to that event: they would end alike.
std::vector<int32> that_would_end_alike(int32 generation_id, const source::MaybePosition &position);

// The generations that have any.
std::vector<int32> load_attempts();
void forget_attempts(int32 generation_id);

} // namespace query
