#include "query/shared_work.hpp"

#include "query/event_document.hpp"

namespace query
{

namespace
{

bool same_key(const Definition &a, const Definition &b)
{
    return a.key_type == b.key_type && a.key_is_array == b.key_is_array && a.key_expression == b.key_expression &&
           a.search_path == b.search_path;
}

} // namespace

void SharedWork::begin(const source::EventPage &page_, std::size_t readers)
{
    context.reset();
    page = &page_;
    columns_used = 0;
    // What only one asks for is better made in memory that the next event uses again. A page is bounded, so are its documents.
    documents.assign(readers > 1 ? page->size() : 0, 0);
    plains.clear();
}

Datum SharedWork::document(std::size_t index)
{
    if (documents.empty())
        return event_document(page->event(index));
    Datum &kept = documents[index];
    if (!kept)
    {
        const Datum made = event_document(page->event(index)); // leaves its parts behind, perhaps detoasted
        MemoryContext const previous = MemoryContextSwitchTo(context.get());
        kept = datumCopy(made, false, -1);
        MemoryContextSwitchTo(previous);
    }
    return kept;
}

Jsonb *SharedWork::plain(std::size_t index, EventColumn column)
{
    struct varlena *const value = reinterpret_cast<varlena *>(DatumGetPointer(page->event(index).values[column]));
    if (!VARATT_IS_EXTENDED(value))
        return reinterpret_cast<Jsonb *>(value);
    if (plains.empty())
        plains.resize(page->size());
    Jsonb *&kept = column == column_data ? plains[index].data : plains[index].metadata;
    if (!kept)
    {
        MemoryContext const previous = MemoryContextSwitchTo(context.get());
        kept = reinterpret_cast<Jsonb *>(detoast_attr(value));
        MemoryContextSwitchTo(previous);
    }
    return kept;
}

SharedWork::Keys &SharedWork::keys(const Generation &generation, std::uint64_t compiled_at)
{
    for (std::size_t i = 0; i < columns_used; i++)
    {
        Keys &column = columns[i];
        if (column.owner == generation.owner && column.compiled_at == compiled_at &&
            same_key(*column.definition, generation.definition))
            return column;
    }
    if (columns_used == columns.size())
        columns.emplace_back();
    Keys &column = columns[columns_used];
    column.work = this;
    column.owner = generation.owner;
    column.definition = &generation.definition;
    column.compiled_at = compiled_at;
    column.places.assign(page->size(), Keys::unknown);
    column.values.clear();
    columns_used++;
    return column;
}

const KeyExpression::Keys &SharedWork::Keys::of(std::size_t index, KeyExpression &expression)
{
    std::uint32_t &place = places[index];
    if (place == unknown)
    {
        MemoryContext const previous = MemoryContextSwitchTo(work->context.get());
        const KeyExpression::Keys made = expression.evaluate(work->page->event(index));
        MemoryContextSwitchTo(previous);
        values.push_back(made);
        place = static_cast<std::uint32_t>(values.size() - 1);
    }
    return values[place];
}

} // namespace query
