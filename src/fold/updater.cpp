#include "fold/updater.hpp"

#include "fold/evaluation.hpp"
#include "fold/journal.hpp"
#include "fold/operations.hpp"
#include "fold/program.hpp"

#include <algorithm>

namespace fold
{

namespace
{

[[noreturn, gnu::noinline, gnu::cold]] void refuse_id(std::string_view what, const Path &path, Kind found)
{
    throw UpdaterError("the " + std::string(what) + " \"" + path.text + "\" is " + std::string(describe(found)) +
                       ", not text or a number");
}

// Aliases that the event remembers and forgets: the host hears of them only once nothing can fail any more.
class PendingAliases
{
public:
    void remember(std::string_view alias, std::string_view id)
    {
        pending.push_back({std::string(alias), std::string(id), false});
    }

    void forget(std::string_view id) { pending.push_back({{}, std::string(id), true}); }

    std::optional<std::string> find(std::string_view alias, Host &host) const
    {
        std::optional<std::string> id;
        std::size_t since = pending.size();
        while (since > 0 && (pending[since - 1].is_forgotten || pending[since - 1].alias != alias))
            --since;
        id = since > 0 ? pending[since - 1].id : host.alias(alias);
        for (; id && since < pending.size(); ++since)
            if (pending[since].is_forgotten && pending[since].id == *id)
                id.reset();
        return id;
    }

    void tell(Host &host)
    {
        for (const Pending &each : pending)
        {
            if (each.is_forgotten)
                host.forget_aliases_of(each.id);
            else
                host.remember(each.alias, each.id);
        }
        pending.clear();
    }

    void clear() { pending.clear(); }

private:
    struct Pending
    {
        std::string alias;
        std::string id;
        bool is_forgotten;
    };

    std::vector<Pending> pending;
};

} // namespace

class Updater::Folding
{
public:
    explicit Folding(const Spec &s) : spec(s), program(s.program()), operations(evaluator, journal)
    {
        evaluator.scope.position = {&TreeReader::get(), TreeReader::view(position)};
    }

    const Handler *handler(const View &type)
    {
        if (type.kind != Kind::text)
            return program.any;
        if (last && last->type == type.text)
            return last;
        const auto found = program.by_type.find(type.text);
        if (found == program.by_type.end())
            return program.any;
        return last = found->second;
    }

    void collect(const Event &event, Collector &collector);
    void apply(const Event &event, Host &host, Changes &changes, Known found);

private:
    void begin(const Event &event);
    void find_items(const Path &each);
    // The text that names an instance or alias; nothing: null or missing.
    std::optional<std::string_view> name(const Located &place, std::string_view what, const Path &path);
    std::optional<std::string_view> key_text(const Key &key);

    void tell_place(UpdaterError &error) const;
    void apply_step(const Step &step, Host &host);
    void apply_to(const Step &step, Instance *found, std::string_view id);
    void apply_elsewhere(const Step &step, std::string_view id);
    void check_size(const Instance &instance) const;

    Spec spec; // keeps the program
    const Program &program;
    const Handler *last = nullptr;

    Evaluator evaluator;
    Journal journal;
    Operations operations;
    PendingAliases aliases;

    Value position;
    std::vector<Located> items;
    std::string number_text; // of an id that is a number
    std::string alias_text;  // of an alias that is a number
    std::string alias_id;    // that an alias stands for

    // The instance of the last step's key, which most steps of an event share.
    const Key *current_key = nullptr;
    std::optional<std::string_view> current_id;
    Instance *current = nullptr;
    const Operation *running = nullptr;

    // What is done now and to which instance, for messages.
    struct Place
    {
        const std::string *pointer = nullptr;
        std::string_view member; // of what the pointer leads to
        std::optional<std::string_view> id;
    };
    Place place;
};

void Updater::Folding::tell_place(UpdaterError &error) const
{
    if (place.pointer)
        error.pointer = *place.pointer + std::string(place.member);
    if (place.id)
        error.instance = *place.id;
}

void Updater::Folding::begin(const Event &event)
{
    evaluator.scope.event = &event;
    evaluator.scope.item = {};
    evaluator.scope.state = {};
    if (program.reads[static_cast<std::size_t>(Root::position)])
    {
        position = Value::number(Decimal::of(event.position));
        evaluator.scope.position = {&TreeReader::get(), TreeReader::view(position)};
    }
    current_key = nullptr;
}

void Updater::Folding::find_items(const Path &each)
{
    items.clear();
    if (each.many)
    {
        visit_all(each, evaluator.scope,
                  [&](const Located &place)
                  {
                      items.push_back(place);
                      return true;
                  });
        return;
    }
    const Located list = locate(each, evaluator.scope);
    if (list.kind() != Kind::array)
        return;
    const std::size_t size = list.reader->size(list.view);
    for (std::size_t i = 0; i < size; ++i)
        items.push_back({list.reader, list.reader->element(list.view, i)});
}

std::optional<std::string_view> Updater::Folding::name(const Located &place, std::string_view what, const Path &path)
{
    switch (place.kind())
    {
    case Kind::missing:
    case Kind::null:
        return std::nullopt;
    case Kind::text:
        return place.view.text;
    case Kind::number:
    {
        std::string &out = what == "key" ? number_text : alias_text;
        out.clear();
        place.reader->number(place.view).append_to(out);
        return out;
    }
    default:
        refuse_id(what, path, place.kind());
    }
}

std::optional<std::string_view> Updater::Folding::key_text(const Key &key)
{
    place = {&key.pointer, {}, {}};
    if (key.sort == Key::Sort::constant)
        return key.constant;
    return name(locate(key.path, evaluator.scope), "key", key.path);
}

void Updater::Folding::collect(const Event &event, Collector &collector)
{
    const Handler *const known = handler(event.type);
    if (!known)
        return;
    begin(event);
    const auto collect_one = [&](const Key &key)
    {
        const std::optional<std::string_view> text = key_text(key);
        if (!text)
            return;
        if (key.sort == Key::Sort::alias)
            collector.alias(*text);
        else
            collector.id(*text);
    };
    try
    {
        for (const Key *key : known->keys)
        {
            if (!key->each)
            {
                collect_one(*key);
                continue;
            }
            find_items(*key->each);
            for (const Located &item : items)
            {
                evaluator.scope.item = item;
                collect_one(*key);
            }
        }
    }
    catch (UpdaterError &error)
    {
        tell_place(error);
        throw;
    }
    catch (const LimitError &error)
    {
        UpdaterError told(error.what(), true);
        tell_place(told);
        throw told;
    }
}

// Another fold has the instance. What is remembered and forgotten does not depend on its state: Spec::splittable().
void Updater::Folding::apply_elsewhere(const Step &step, std::string_view id)
{
    if (!program.uses_aliases)
        return;
    evaluator.scope.state = {};
    place = {&step.pointer, "/when", id};
    if (step.when && !evaluator.holds(*step.when))
        return;
    place.member = "/alias";
    for (const Operation &operation : step.operations)
        if (operation.what == Operator::delete_instance)
            aliases.forget(id);
    if (step.alias)
        if (const auto alias = name(locate(*step.alias, evaluator.scope), "alias", *step.alias))
            aliases.remember(*alias, id);
}

void Updater::Folding::apply_to(const Step &step, Instance *found, std::string_view id)
{
    if (!found)
    {
        apply_elsewhere(step, id);
        return;
    }
    Instance &instance = *found;
    evaluator.scope.state = instance.exists ? Located{&TreeReader::get(), TreeReader::view(instance.state)} : Located{};
    place = {&step.pointer, "/when", id};
    if (step.when && !evaluator.holds(*step.when))
        return;
    place.member = {};
    if (step.prepared > 0)
        evaluator.prepare(step);
    for (const Operation &operation : step.operations)
    {
        running = &operation;
        place.pointer = &operation.pointer;
        if (operation.what != Operator::delete_instance)
        {
            operations.apply(operation, instance);
            continue;
        }
        operations.delete_instance(instance);
        if (program.uses_aliases)
            aliases.forget(id);
    }
    running = nullptr;
    if (step.prepared > 0)
        evaluator.end_step();
    place = {&step.pointer, "/alias", id};
    if (step.alias)
        if (const auto alias = name(locate(*step.alias, evaluator.scope), "alias", *step.alias))
            aliases.remember(*alias, id);
}

void Updater::Folding::apply_step(const Step &step, Host &host)
{
    const Key &key = *step.key;
    const auto apply_one = [&]
    {
        std::optional<std::string_view> id = key_text(key);
        if (id && key.sort == Key::Sort::alias)
        {
            std::optional<std::string> found = aliases.find(*id, host);
            if (!found)
                return;
            alias_id = std::move(*found);
            id = alias_id;
        }
        if (!id)
            return;
        apply_to(step, host.instance(*id), *id);
    };
    if (key.each)
    {
        current_key = nullptr;
        find_items(*key.each);
        for (const Located &item : items)
        {
            evaluator.scope.item = item;
            apply_one();
        }
        evaluator.scope.item = {};
        return;
    }
    if (key.sort == Key::Sort::alias)
    {
        current_key = nullptr;
        apply_one();
        return;
    }
    if (current_key != &key)
    {
        current_id = key_text(key);
        current_key = &key;
        current = current_id ? host.instance(*current_id) : nullptr;
    }
    if (current_id)
        apply_to(step, current, *current_id);
}

void Updater::Folding::check_size(const Instance &instance) const
{
    // In jsonb a value takes at most one and a half times what it takes here, so most need not be measured.
    constexpr std::size_t surely_small = 150'000'000;
    if (instance.bytes > surely_small)
        instance.state.jsonb_bytes();
}

void Updater::Folding::apply(const Event &event, Host &host, Changes &changes, Known found)
{
    journal.begin(changes);
    const Handler *const known = handler(event.type);
    if (!known)
        return;
    begin(event);
    if (found.instance && known->keys.size() == 1 && !known->keys.front()->each &&
        known->keys.front()->sort != Key::Sort::alias)
    {
        current_key = known->keys.front();
        current_id = found.id;
        current = found.instance;
    }
    running = nullptr;
    const Instance *measured = nullptr;
    const auto undo = [&]
    {
        evaluator.end_step();
        aliases.clear();
        journal.roll_back();
    };
    try
    {
        for (const Step &step : known->steps)
            apply_step(step, host);
        for (const Instance *instance : changes.instances)
        {
            measured = instance;
            check_size(*instance);
        }
    }
    catch (UpdaterError &error)
    {
        tell_place(error);
        undo();
        throw;
    }
    catch (const LimitError &error)
    {
        UpdaterError told((running ? "cannot " + describe(*running) + ": " : "") + error.what(), true);
        tell_place(told);
        if (measured)
        {
            told.pointer = known->pointer;
            told.instance = host.id_of(*measured);
        }
        undo();
        throw told;
    }
    catch (...)
    {
        undo();
        throw;
    }
    journal.commit();
    aliases.tell(host);
}

Updater::Updater(const Spec &spec) : folding(std::make_unique<Folding>(spec)) {}
Updater::Updater(Updater &&) noexcept = default;
Updater &Updater::operator=(Updater &&) noexcept = default;
Updater::~Updater() = default;

bool Updater::concerns(const View &type)
{
    return folding->handler(type) != nullptr;
}

void Updater::collect(const Event &event, Collector &collector)
{
    folding->collect(event, collector);
}

void Updater::apply(const Event &event, Host &host, Changes &changes, Known known)
{
    folding->apply(event, host, changes, known);
}

} // namespace fold
