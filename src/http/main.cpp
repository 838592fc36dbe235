// readmodel-http: the HTTP service of pg_readmodel.
#include <cstdlib>
#include <exception>
#include <iostream>
#include <vector>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/lsan_interface.h>
#endif
#include <unistd.h>

#include "http/log.hpp"
#include "http/options.hpp"
#include "http/service.hpp"

int main(int count, char **arguments)
{
    http::Options options;
    try
    {
        switch (http::read_options(std::vector<std::string>(arguments + 1, arguments + count), environ, options))
        {
        case http::Wish::help:
            http::print_help(std::cout);
            return 0;
        case http::Wish::version:
            std::cout << "readmodel-http " READMODEL_VERSION "\n";
            return 0;
        case http::Wish::serve:
            break;
        }
    }
    catch (const http::BadOption &error)
    {
        std::cerr << "readmodel-http: " << error.what() << "\nTry \"readmodel-http --help\".\n";
        return 2;
    }
    http::log::set_format(options.log_format);
    for (const std::string &name : http::unknown_variables(environ))
        http::log::warning("a variable of the environment is unknown", {{"name", name}});
    int status = 1;
    try
    {
        // Never destroyed. What is still under way has nobody to go to: its destructors would only try to answer, and an attempt
        // to connect would be waited for. What hangs on the service is no leak, so it can be found till the end.
        static http::Service *const service = new http::Service(std::move(options));
        status = service->run();
#ifdef __SANITIZE_ADDRESS__
        __lsan_do_leak_check(); // which is not done at such an end
#endif
        std::_Exit(status);
    }
    catch (const std::exception &error)
    {
        http::log::error("could not serve", {{"error", error.what()}});
        std::_Exit(status);
    }
}
