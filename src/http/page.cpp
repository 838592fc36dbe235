#include "http/page.hpp"

#include "http/etag.hpp"
#include "http/service.hpp"

namespace http
{

namespace
{

// The page runs its own files and talks to its own service, and nothing else. What it shows is text from a database: if a name
// ever became markup, this would still keep it from doing anything.
constexpr const char *content_security_policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src "
                                                "'self'; img-src 'self' data:; base-uri 'none'; "
                                                "form-action 'none'; frame-ancestors 'none'";

void answer(const ExchangePtr &exchange, const PageFile &file)
{
    Response response;
    response.type = file.type;
    response.cache = "no-cache"; // kept, but asked for each time
    response.header("ETag", std::string(file.etag));
    response.header("Content-Security-Policy", content_security_policy);
    response.header("Referrer-Policy", "no-referrer");
    response.header("Cross-Origin-Opener-Policy", "same-origin");
    response.header("Cross-Origin-Resource-Policy", "same-origin");
    if (matches(exchange->request().if_none_match, file.etag))
        response.status = 304;
    else
        response.body = file.content;
    exchange->respond(response);
}

} // namespace

// The files are the same for everybody and tell nothing of the database, so they are open: it is the page that asks for the token.
void add_page_routes(Service &service)
{
    for (const PageFile &file : page_files())
        service.router.add(file.path, Access::open, [&file](const ExchangePtr &exchange) { answer(exchange, file); });
}

} // namespace http
