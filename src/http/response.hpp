// What is answered, and how it looks on the wire.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace http
{

namespace content_type
{
inline constexpr std::string_view json = "application/json";
inline constexpr std::string_view problem = "application/problem+json";
} // namespace content_type

struct Response
{
    unsigned status = 200;
    std::string_view type = content_type::json; // of static duration
    std::string_view cache = "no-store";        // Cache-Control, of static duration
    std::string body;
    std::vector<std::pair<std::string_view, std::string>>
        headers; // names of static duration, values without line breaks
    // The connection is of no use after this: what follows on it cannot be told apart.
    bool close = false;

    Response &header(std::string_view name, std::string value)
    {
        headers.emplace_back(name, std::move(value));
        return *this;
    }
    // Seconds, at least one and at most an hour.
    Response &retry_after(double seconds);
};

// RFC 9457. Members are JSON text that begins with a comma, such as `,"position":7`.
Response problem(unsigned status, std::string_view detail, std::string_view members = {});

// {"status":".."} and, if there is one, a reason.
Response status_response(unsigned http_status, std::string_view status, std::string_view reason = {});

// Without a database nothing is known.
Response unavailable();

// As many requests are waiting already as may.
Response overloaded();

// Another one may answer.
Response stopping();

// The database was busy with others for as long as one waits for it.
Response no_turn();

struct Framing
{
    bool keep_alive = true;
    bool http_1_0 = false;
    bool head_only = false; // HEAD: the headers of a GET, without its body
};

// Appends status line, headers and body.
void write_response(std::string &out, const Response &response, const Framing &framing, std::string_view date);
// Appends the head of a response whose body follows until the connection ends.
void write_stream_head(std::string &out, const Response &response, std::string_view date);

std::string_view reason_phrase(unsigned status);

// A number as PostgreSQL writes it, as JSON: null for NULL, and for NaN and Infinity, which JSON does not have.
std::string_view json_number(std::optional<std::string_view> text);

// Appends a string as JSON, with its quotes. The text is valid UTF-8.
void append_json(std::string &out, std::string_view text);

} // namespace http
