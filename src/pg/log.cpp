#include "pg/log.hpp"

namespace pg
{

void log(int level, const std::string &message, const std::string &detail, const std::string &hint)
{
    call(
        [&]
        {
            ereport(level, (errmsg_internal("%s", message.c_str()),
                            detail.empty() ? 0 : errdetail_internal("%s", detail.c_str()),
                            hint.empty() ? 0 : errhint("%s", hint.c_str())));
        });
}

} // namespace pg
