#include "http/response.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>

namespace http
{

namespace
{

void append_number(std::string &out, unsigned long long number)
{
    char text[24];
    out.append(text, std::to_chars(text, text + sizeof text, number).ptr);
}

void append_header(std::string &out, std::string_view name, std::string_view value)
{
    out.append(name).append(": ").append(value).append("\r\n");
}

bool has_no_body(unsigned status)
{
    return status == 304;
}

void write_head(std::string &out, const Response &response, bool http_1_0, std::string_view date)
{
    out.append(http_1_0 ? "HTTP/1.0 " : "HTTP/1.1 ");
    append_number(out, response.status);
    out.append(" ").append(reason_phrase(response.status)).append("\r\n");
    append_header(out, "Date", date);
    append_header(out, "Cache-Control", response.cache);
    append_header(out, "X-Content-Type-Options", "nosniff");
    for (const auto &[name, value] : response.headers)
        append_header(out, name, value);
    if (!has_no_body(response.status))
        append_header(out, "Content-Type", response.type);
}

// It may go better the next time.
Response not_now(std::string_view detail)
{
    Response response = problem(503, detail);
    response.retry_after(1);
    return response;
}

} // namespace

Response &Response::retry_after(double seconds)
{
    const double whole = std::isfinite(seconds) ? std::ceil(std::clamp(seconds, 1.0, 3600.0)) : 1.0;
    return header("Retry-After", std::to_string(static_cast<int>(whole)));
}

Response problem(unsigned status, std::string_view detail, std::string_view members)
{
    Response response{.status = status, .type = content_type::problem, .body = {}, .headers = {}, .close = false};
    response.body = R"({"type":"about:blank","title":)";
    append_json(response.body, reason_phrase(status));
    response.body += R"(,"status":)";
    append_number(response.body, status);
    response.body += R"(,"detail":)";
    append_json(response.body, detail);
    response.body += members;
    response.body += "}";
    return response;
}

Response status_response(unsigned http_status, std::string_view status, std::string_view reason)
{
    Response response;
    response.status = http_status;
    response.body = R"({"status":)";
    append_json(response.body, status);
    if (!reason.empty())
    {
        response.body += R"(,"reason":)";
        append_json(response.body, reason);
    }
    response.body += "}";
    return response;
}

Response unavailable()
{
    Response response = status_response(503, "unavailable");
    response.retry_after(1);
    return response;
}

Response no_turn()
{
    return not_now("the database did not get to this request in time");
}

Response stopping()
{
    return not_now("the service is stopping");
}

Response overloaded()
{
    return not_now("too many requests are being answered");
}

void write_response(std::string &out, const Response &response, const Framing &framing, std::string_view date)
{
    const size_t body = has_no_body(response.status) ? 0 : response.body.size();
    out.reserve(out.size() + 384 + body);
    write_head(out, response, framing.http_1_0, date);
    if (!has_no_body(response.status))
    {
        out.append("Content-Length: ");
        append_number(out, body);
        out.append("\r\n");
    }
    if (!framing.keep_alive)
        append_header(out, "Connection", "close");
    else if (framing.http_1_0)
        append_header(out, "Connection", "keep-alive");
    out.append("\r\n");
    if (!framing.head_only && body > 0)
        out.append(response.body);
}

void write_stream_head(std::string &out, const Response &response, std::string_view date)
{
    write_head(out, response, false, date);
    append_header(out, "Connection", "close");
    out.append("\r\n");
}

std::string_view reason_phrase(unsigned status)
{
    switch (status)
    {
    case 200:
        return "OK";
    case 304:
        return "Not Modified";
    case 400:
        return "Bad Request";
    case 401:
        return "Unauthorized";
    case 403:
        return "Forbidden";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 408:
        return "Request Timeout";
    case 413:
        return "Content Too Large";
    case 414:
        return "URI Too Long";
    case 421:
        return "Misdirected Request";
    case 431:
        return "Request Header Fields Too Large";
    case 500:
        return "Internal Server Error";
    case 503:
        return "Service Unavailable";
    case 504:
        return "Gateway Timeout";
    case 505:
        return "HTTP Version Not Supported";
    default:
        return "Unknown";
    }
}

std::string_view json_number(std::optional<std::string_view> text)
{
    return text && text->find_first_of("NI") == std::string_view::npos ? *text : "null";
}

void append_json(std::string &out, std::string_view text)
{
    constexpr char digits[] = "0123456789abcdef";
    out += '"';
    for (const char c : text)
    {
        if (c == '"' || c == '\\')
            (out += '\\') += c;
        else if (c == '\n')
            out += "\\n";
        else if (static_cast<unsigned char>(c) < 0x20)
        {
            out += "\\u00";
            out += digits[static_cast<unsigned char>(c) >> 4];
            out += digits[static_cast<unsigned char>(c) & 15];
        }
        else
            out += c;
    }
    out += '"';
}

} // namespace http
