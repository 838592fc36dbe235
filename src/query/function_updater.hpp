// An updater that is a function (state jsonb, event jsonb) RETURNS jsonb, with a key expression.
#pragma once

#include "query/key_expression.hpp"
#include "query/page_updater.hpp"

namespace query
{

// select() and apply() run user code: inside a subtransaction, as the query's owner.
class FunctionUpdater : public PageUpdater
{
public:
    using PageUpdater::PageUpdater;

    void select(const source::EventPage &page, const MaybePosition &cursor, bool complete, PassOverPage &pass) override;
    bool empty() const override { return selected.empty(); }
    std::size_t first() const override { return selected.front().index; }
    void apply(const source::EventPage &page, PassOverPage &pass) override;
    void recover() override { key.reset(); } // it may have been left in the middle
    void accept() override;
    bool unchanged() const override;

private:
    // An event that concerns the generation, with its part of selected_entries.
    struct Selected
    {
        std::size_t index; // in the page
        std::size_t first;
        std::size_t count;
        bool counted; // the share with its first instance counts it
    };
    struct UpdaterRow
    {
        TransactionId xmin = InvalidTransactionId;
        ItemPointerData tid{};
    };
    static UpdaterRow updater_row(Oid updater);

    void collect_keys(const source::EventPage &page, const MaybePosition &cursor, PassOverPage &pass);

    std::vector<Selected> selected;
    std::vector<std::string_view> ids; // of all of them
    UpdaterRow accepted;
    // Compiled anew when a function or type changed anywhere: a key may call either.
    std::optional<KeyExpression> key;
    uint64 key_compiled_at = 0;
};

} // namespace query
