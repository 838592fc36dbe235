// What the service has to say, on stderr: a line each, for people or as JSON. No line quotes what a client sent or what a
// state holds.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

namespace http::log
{

enum class Format
{
    text,
    json,
};

enum class Level
{
    info,
    warning,
    error,
};

using Field = std::pair<std::string_view, std::string>;

void set_format(Format format);

// May be called by any thread.
void write(Level level, std::string_view message, std::initializer_list<Field> fields = {});

inline void info(std::string_view message, std::initializer_list<Field> fields = {})
{
    write(Level::info, message, fields);
}

inline void warning(std::string_view message, std::initializer_list<Field> fields = {})
{
    write(Level::warning, message, fields);
}

inline void error(std::string_view message, std::initializer_list<Field> fields = {})
{
    write(Level::error, message, fields);
}

} // namespace http::log
