#include "fold/compile.hpp"

#include "fold/contradictions.hpp"
#include "fold/expression_compiler.hpp"
#include "fold/syntax.hpp"
#include "fold/words.hpp"

namespace fold
{

namespace
{

constexpr std::array<std::string_view, 2> spec_members = {"key", "on"};
constexpr std::array<std::string_view, 2> each_members = {"each", "key"};
constexpr std::array<std::string_view, 1> alias_members = {"alias"};
constexpr std::array<std::string_view, 1> where_members = {"where"};
constexpr std::array<std::string_view, 2> upsert_members = {"where", "set"};
constexpr std::array<std::string_view, 15> step_members = {"when",   "key",    "alias",  "default", "set",
                                                           "unset",  "merge",  "add",    "min",     "max",
                                                           "append", "upsert", "remove", "keep",    "delete"};

constexpr std::string_view a_key =
    R"(A key is a path, a constant text or number, {"each": path, "key": ..} or {"alias": path}.)";
constexpr std::string_view an_operation = "An operation is an object of targets.";
constexpr std::string_view a_filter = R"("where" is an object of at least one member.)";

class Compiler
{
public:
    std::shared_ptr<const Program> compile(const Part &spec)
    {
        spec.require(Kind::object, R"(A spec is an object with the members "key" and "on".)");
        spec.require_known("A spec", spec_members);
        const Value &on = spec.require_member("on", R"("on" says what each type of event does.)");
        if (const Value *key = spec.value.find("key"))
            default_key = compile_key({*key, "/key"});
        const Part handlers{on, "/on"};
        handlers.require_filled(Kind::object, R"("on" is an object of at least one event type (or "*").)");
        for (const Value::Member &member : on.members())
            compile_handler(member.name(), handlers.member(member));
        check_aliases(*program);
        return program;
    }

private:
    const Key *compile_key(const Part &part)
    {
        auto key = std::make_unique<Key>();
        expressions.item_allowed = false;
        expressions.state_allowed = false;
        if (part.value.is(Kind::object) && part.value.find("each"))
        {
            part.require_known(R"(A key with "each")", each_members);
            part.require_member("key", R"("key" says which instance an item belongs to.)");
            for (const Value::Member &member : part.value.members())
                if (member.name() == "each")
                    key->each = expressions.path(part.member(member));
            expressions.item_allowed = true;
            for (const Value::Member &member : part.value.members())
                if (member.name() == "key")
                    compile_single_key(*key, part.member(member));
        }
        else
            compile_single_key(*key, part);
        program->keys.push_back(std::move(key));
        return program->keys.back().get();
    }

    void compile_single_key(Key &key, const Part &part)
    {
        key.pointer = part.pointer;
        switch (part.value.kind())
        {
        case Kind::text:
            if (is_path(part.value))
                key.path = expressions.single_path(part);
            else
            {
                key.sort = Key::Sort::constant;
                key.constant = part.text().substr(part.text().starts_with("$$") ? 1 : 0);
            }
            break;
        case Kind::number:
            key.sort = Key::Sort::constant;
            key.constant = part.value.number().text();
            break;
        case Kind::object:
            if (part.value.empty())
                part.refuse(a_key);
            if (key.each && part.value.find("each"))
                part.refuse(
                    "A key within \"each\" has no \"each\" of its own; its path may have more than one \"[*]\".");
            part.require_known("A key", key.each ? std::span<const std::string_view>(alias_members)
                                                 : std::span<const std::string_view>(key_members));
            key.sort = Key::Sort::alias;
            part.require_member("alias", a_key);
            key.path = expressions.single_path(part.member(part.value.members()[0]));
            key.pointer = part.member(part.value.members()[0]).pointer;
            program->uses_aliases = true;
            break;
        default:
            part.refuse(a_key);
        }
    }

    void compile_handler(std::string_view type, const Part &part)
    {
        auto handler = std::make_unique<Handler>();
        handler->type = type;
        handler->pointer = part.pointer;
        if (part.value.is(Kind::array))
        {
            part.require_filled(Kind::array, "A list of steps has at least one.");
            for (std::size_t i = 0; i < part.value.size(); ++i)
                handler->steps.push_back(compile_step(part.element(i)));
        }
        else
            handler->steps.push_back(compile_step(part));
        for (const Step &step : handler->steps)
        {
            bool known = false;
            for (const Key *key : handler->keys)
                known = known || key == step.key;
            if (!known)
                handler->keys.push_back(step.key);
        }
        if (type == "*")
            program->any = handler.get();
        program->by_type.emplace(handler->type, handler.get());
        program->handlers.push_back(std::move(handler));
    }

    Step compile_step(const Part &part)
    {
        constexpr std::string_view a_step = R"(A step is an object, or "delete".)";
        Step step;
        step.pointer = part.pointer;
        if (part.value.is(Kind::text))
        {
            constexpr std::array<std::string_view, 1> words = {"delete"};
            if (part.text() != "delete")
                part.refuse(a_step, suggestion(part.text(), words));
            step.key = default_key;
            add_operation(step, Operator::delete_instance, part);
        }
        else
        {
            part.require(Kind::object, a_step);
            part.require_known("A step", step_members);
            compile_members(step, part);
        }
        if (!step.key)
            throw SpecError(
                "", "The member \"key\" is missing. It says which instance an event belongs to, and the step at " +
                        part.pointer + " has none of its own.");
        return step;
    }

    void compile_members(Step &step, const Part &part)
    {
        const auto member = [&](std::string_view name) -> std::optional<Part>
        {
            for (const Value::Member &each : part.value.members())
                if (each.name() == name)
                    return part.member(each);
            return std::nullopt;
        };
        const std::optional<Part> own_key = member("key");
        step.key = own_key ? compile_key(*own_key) : default_key;
        expressions.item_allowed = step.key && step.key->each;
        expressions.state_allowed = true;
        if (const std::optional<Part> when = member("when"))
            step.when = expressions.condition(*when);
        bool any_operation = false;
        for (std::size_t i = 0; i < operator_names.size(); ++i)
        {
            const std::optional<Part> operation = member(operator_names[i]);
            if (!operation)
                continue;
            any_operation = true;
            compile_operation(step, static_cast<Operator>(i), *operation);
        }
        if (const std::optional<Part> alias = member("alias"))
        {
            expressions.state_allowed = false;
            step.alias = expressions.single_path(*alias);
            program->uses_aliases = true;
        }
        else if (!any_operation)
            part.refuse("A step has at least one operation (" + listed(operator_names) + ") or an \"alias\".");
        for (Operation &operation : step.operations)
            prepare(step, operation);
    }

    // Every value that reads $state is evaluated before the first operation changes it.
    static void prepare(Step &step, Operation &operation)
    {
        const auto number = [&](Expression &expression)
        {
            if (expression.reads_state)
                expression.prepared = step.prepared++;
        };
        for (TargetName &name : operation.target.names)
            if (name.computed)
                number(*name.computed);
        number(operation.value);
        for (NamedExpression &each : operation.where)
            number(each.value);
        for (NamedExpression &each : operation.set)
            number(each.value);
    }

    static Operation &add_operation(Step &step, Operator what, const Part &part)
    {
        Operation &operation = step.operations.emplace_back();
        operation.what = what;
        operation.pointer = part.pointer;
        return operation;
    }

    void compile_operation(Step &step, Operator what, const Part &part)
    {
        if (what == Operator::delete_instance)
        {
            if (!part.value.is(Kind::boolean) || !part.value.boolean())
                part.refuse("\"delete\" is true.");
            add_operation(step, what, part);
            return;
        }
        if (what == Operator::unset)
        {
            compile_unset(step, part);
            return;
        }
        part.require(Kind::object, an_operation);
        const std::size_t first = step.operations.size();
        for (const Value::Member &member : part.value.members())
        {
            const Part operand = part.member(member);
            Operation &operation = add_operation(step, what, operand);
            operation.target = target(member.name(), operand);
            switch (what)
            {
            case Operator::upsert:
            case Operator::remove:
                compile_filter(operation, operand);
                break;
            case Operator::keep:
                operation.keep = compile_keep(operand);
                break;
            default:
                operation.value = expressions.expression(operand);
                check_value(what, operation.value, operand);
            }
        }
        check_overlaps(std::span(step.operations).subspan(first));
    }

    void compile_unset(Step &step, const Part &part)
    {
        constexpr std::string_view allowed = "\"unset\" is a target or a list of targets.";
        const auto add = [&](const Part &one)
        {
            one.require(Kind::text, allowed);
            add_operation(step, Operator::unset, one).target = target(one.text(), one);
        };
        if (!part.value.is(Kind::array))
        {
            add(part);
            return;
        }
        for (std::size_t i = 0; i < part.value.size(); ++i)
            add(part.element(i));
    }

    Target target(std::string_view text, const Part &part)
    {
        try
        {
            Target result = parse_target(text);
            for (TargetName &name : result.names)
            {
                if (!name.computed)
                    continue;
                Expression &computed = *name.computed;
                expressions.check_roots(computed.path, part);
                computed.reads_state = computed.path.root == Root::state;
                if (computed.path.many)
                    throw SyntaxFault{"Found " + quoted(text) +
                                          "; a path with \"[*]\" can find many values, and a member "
                                          "has one name.",
                                      ""};
            }
            return result;
        }
        catch (const SyntaxFault &fault)
        {
            throw SpecError(part.pointer, fault.detail, fault.hint);
        }
    }

    void compile_filter(Operation &operation, const Part &part)
    {
        const bool upsert = operation.what == Operator::upsert;
        part.require(Kind::object, upsert ? R"("upsert" has {"where": {..}, "set": {..}} for each target.)"
                                          : R"("remove" has {"where": {..}} for each target.)");
        part.require_known(upsert ? "\"upsert\"" : "\"remove\"",
                           upsert ? std::span<const std::string_view>(upsert_members)
                                  : std::span<const std::string_view>(where_members));
        part.require_member("where", a_filter);
        for (const Value::Member &member : part.value.members())
        {
            const Part named = part.member(member);
            const bool where = member.name() == "where";
            if (where)
                named.require_filled(Kind::object, a_filter);
            else
                named.require(Kind::object, "\"set\" is an object of names and values.");
            for (const Value::Member &each : member.value.members())
                (where ? operation.where : operation.set)
                    .push_back({std::string(each.name()), expressions.expression(named.member(each))});
        }
    }

    static std::size_t compile_keep(const Part &part)
    {
        constexpr Int128 most = 2147483647;
        constexpr std::string_view allowed = "\"keep\" has a whole number from 0 to 2147483647 for each target.";
        part.require(Kind::number, allowed);
        const Decimal number = part.value.number();
        if (!number.small() || number.scale() != 0 || number.coefficient() < 0 || number.coefficient() > most)
            part.refuse(allowed);
        return static_cast<std::size_t>(number.coefficient());
    }

    static constexpr std::array<std::string_view, 2> key_members = {"alias", "each"};

    std::shared_ptr<Program> program = std::make_shared<Program>();
    ExpressionCompiler expressions{*program};
    const Key *default_key = nullptr;
};

} // namespace

std::shared_ptr<const Program> compile(const Value &spec)
{
    return Compiler().compile({spec, ""});
}

} // namespace fold
