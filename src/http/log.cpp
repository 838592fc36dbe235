#include "http/log.hpp"

#include <cstdio>
#include <ctime>
#include <unistd.h>

#include "http/response.hpp"
#include "http/target.hpp"

namespace http::log
{

namespace
{

Format chosen = Format::text;

std::string_view name_of(Level level)
{
    switch (level)
    {
    case Level::info:
        return "info";
    case Level::warning:
        return "warning";
    case Level::error:
        break;
    }
    return "error";
}

std::string timestamp()
{
    timespec now{};
    clock_gettime(CLOCK_REALTIME, &now);
    tm parts{};
    gmtime_r(&now.tv_sec, &parts);
    char text[64];
    const size_t length = std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
    std::snprintf(text + length, sizeof text - length, ".%03ldZ", now.tv_nsec / 1000000);
    return text;
}

// libpq's messages have line breaks, and may have bytes of any encoding.
std::string one_line(std::string_view text)
{
    while (!text.empty() && (text.back() == '\n' || text.back() == ' '))
        text.remove_suffix(1);
    std::string line(text);
    const bool plain = storable(text);
    for (char &c : line)
    {
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
            c = ' '; // nor does what controls a terminal reach it
        else if (!plain && (c & 0x80))
            c = '?';
    }
    return line;
}

} // namespace

void set_format(Format format)
{
    chosen = format;
}

void write(Level level, std::string_view message, std::initializer_list<Field> fields)
{
    std::string line;
    if (chosen == Format::json)
    {
        line = R"({"at":")" + timestamp() + R"(","level":")";
        line.append(name_of(level)).append(R"(","message":)");
        append_json(line, one_line(message));
        for (const auto &[name, value] : fields)
        {
            line += ',';
            append_json(line, name);
            line += ':';
            append_json(line, one_line(value));
        }
        line += "}\n";
    }
    else
    {
        line = timestamp() + " ";
        line.append(name_of(level)).append(": ").append(one_line(message));
        const char *before = " (";
        for (const auto &[name, value] : fields)
        {
            line.append(before).append(name).append(": ").append(one_line(value));
            before = ", ";
        }
        if (fields.size() > 0)
            line += ")";
        line += "\n";
    }
    // One call a line, so that lines of two threads do not mix. There is nowhere to report that it failed.
    [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, line.data(), line.size());
}

} // namespace http::log
