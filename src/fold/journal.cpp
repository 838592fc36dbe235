#include "fold/journal.hpp"

namespace fold
{

namespace
{

std::ptrdiff_t signed_bytes(const Value &value)
{
    return static_cast<std::ptrdiff_t>(value.bytes());
}

std::ptrdiff_t signed_own_bytes(const Value &value)
{
    return static_cast<std::ptrdiff_t>(value.own_bytes());
}

std::ptrdiff_t name_bytes(std::string_view name)
{
    return static_cast<std::ptrdiff_t>(Value::text_bytes(name.size()));
}

} // namespace

void Journal::begin(Changes &target)
{
    changes = &target;
    target.bytes = 0;
    target.instances.clear();
}

void Journal::touch(Instance &instance)
{
    changes->instances.push_back(&instance);
    instance.touched = true;
}

void Journal::commit() noexcept
{
    for (Instance *instance : changes->instances)
        instance->touched = false;
    entries.clear();
    names.clear();
    indexes.clear();
    kept_count = 0;
}

void Journal::roll_back()
{
    while (!entries.empty())
    {
        take_back(entries.back());
        entries.pop_back();
    }
    commit();
    changes->instances.clear();
}

void Journal::repeat_names(std::size_t first, std::size_t how_many)
{
    for (std::size_t i = first; i < first + how_many; ++i)
        names.push_back(std::string_view(names[i]));
}

std::string_view Journal::keep_name(std::string_view name)
{
    if (kept_count == kept.size())
        kept.emplace_back();
    return kept[kept_count++].assign(name);
}

void Journal::enter(Sort sort, Instance &instance, std::size_t first, std::size_t count, std::size_t index, Value old)
{
    entries.push_back({&instance, static_cast<std::uint32_t>(first), static_cast<std::uint32_t>(count),
                       static_cast<std::uint32_t>(index), sort, std::move(old)});
}

void Journal::replaced(Instance &instance, std::size_t first, std::size_t count, Value old)
{
    enter(Sort::replaced, instance, first, count, 0, std::move(old));
}

void Journal::appended(Instance &instance, std::size_t first, std::size_t count)
{
    enter(Sort::appended, instance, first, count, 0, {});
}

void Journal::dropped_one(Instance &instance, std::size_t first, std::size_t count, Value old)
{
    enter(Sort::dropped_one, instance, first, count, 0, std::move(old));
}

void Journal::dropped(Instance &instance, std::size_t first, std::size_t count, Value old)
{
    enter(Sort::dropped, instance, first, count, 0, std::move(old));
}

void Journal::removed(Instance &instance, std::size_t first, std::size_t count, Value old,
                      const std::vector<std::uint32_t> &where)
{
    const std::size_t begin = indexes.size();
    indexes.insert(indexes.end(), where.begin(), where.end());
    enter(Sort::removed, instance, first, count, begin, std::move(old));
}

void Journal::replaced_in_element(Instance &instance, std::size_t first, std::size_t count, std::size_t index,
                                  Value old)
{
    enter(Sort::replaced_in_element, instance, first, count, index, std::move(old));
}

void Journal::made(Instance &instance)
{
    enter(Sort::made, instance, 0, 0, 0, {});
}

void Journal::deleted(Instance &instance, Value old)
{
    enter(Sort::deleted, instance, 0, 0, 0, std::move(old));
}

// All entries after this one are taken back already, so what its names lead to is there.
Value &Journal::find(const Entry &entry, std::size_t count)
{
    Value *value = &entry.instance->state;
    for (std::size_t i = 0; i < count; ++i)
        value = value->find(names[entry.first + i]);
    return *value;
}

void Journal::put_back(Instance &instance, Value &object, std::string_view name, Value old)
{
    const std::ptrdiff_t before = signed_own_bytes(object);
    const std::ptrdiff_t key = name_bytes(name);
    if (old.is(Kind::missing))
    {
        const Value gone = object.take(name);
        account(instance, -signed_bytes(gone) - key);
        return;
    }
    std::ptrdiff_t bytes = signed_bytes(old);
    if (Value *value = object.find(name))
    {
        bytes -= signed_bytes(*value);
        *value = std::move(old);
    }
    else
    {
        object.put(name, std::move(old));
        bytes += key;
    }
    account(instance, bytes + signed_own_bytes(object) - before);
}

void Journal::put_back(Instance &instance, Value &array, std::size_t index, Value old)
{
    const std::ptrdiff_t before = signed_own_bytes(array);
    const std::ptrdiff_t bytes = signed_bytes(old);
    array.insert(index, std::move(old));
    account(instance, bytes + signed_own_bytes(array) - before);
}

void Journal::take_back(Entry &entry)
{
    Instance &instance = *entry.instance;
    switch (entry.sort)
    {
    case Sort::replaced:
        put_back(instance, find(entry, entry.count - 1), names[entry.first + entry.count - 1], std::move(entry.old));
        break;
    case Sort::appended:
    {
        Value &array = find(entry, entry.count);
        const Value gone = array.take(array.size() - 1);
        account(instance, -signed_bytes(gone));
        break;
    }
    case Sort::dropped_one:
        put_back(instance, find(entry, entry.count), 0, std::move(entry.old));
        break;
    case Sort::dropped:
    {
        Value &array = find(entry, entry.count);
        std::size_t index = 0;
        for (Value &element : entry.old.elements())
            put_back(instance, array, index++, std::move(element));
        break;
    }
    case Sort::removed:
    {
        Value &array = find(entry, entry.count);
        const std::uint32_t *index = indexes.data() + entry.index;
        for (Value &element : entry.old.elements())
            put_back(instance, array, *index++, std::move(element));
        break;
    }
    case Sort::replaced_in_element:
        put_back(instance, find(entry, entry.count - 1).elements()[entry.index], names[entry.first + entry.count - 1],
                 std::move(entry.old));
        break;
    case Sort::made:
        account(instance, -signed_bytes(instance.state));
        instance.state = {};
        instance.exists = false;
        break;
    case Sort::deleted:
        account(instance, signed_bytes(entry.old));
        instance.state = std::move(entry.old);
        instance.exists = true;
        break;
    }
}

} // namespace fold
