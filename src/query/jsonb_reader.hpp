// Reads jsonb as it is stored, without building a document: the fold library's way into events and stored states.
//
// A container is a header, an entry for each member or element, and their bytes (utils/jsonb.h). Nothing here allocates or raises.
#pragma once

#include "pg/postgres.hpp"

#include "fold/view.hpp"

namespace query
{

class JsonbReader : public fold::Reader
{
public:
    fold::View member(const fold::View &object, std::string_view name) const override;
    fold::View element(const fold::View &array, std::size_t index) const override;
    std::size_t size(const fold::View &container) const override;
    std::pair<std::string_view, fold::View> member_at(const fold::View &object, std::size_t index) const override;
    fold::Decimal number(const fold::View &number) const override;
    fold::Value copy(const fold::View &view) const override;
};

// The root of a document that is not toasted, compressed or packed.
fold::View root_of(const Jsonb *document);

} // namespace query
