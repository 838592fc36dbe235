// GET /health: the process is there. It waits for nothing, and says nothing about the database or the queries.
#include "http/service.hpp"

namespace http
{

void add_health_routes(Service &service)
{
    service.router.add("/health", Access::open,
                       [](const ExchangePtr &exchange)
                       {
                           static const Response ok = status_response(200, "ok");
                           exchange->respond(ok);
                       });
}

} // namespace http
