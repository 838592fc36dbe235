#include "pg/spi.hpp"

namespace pg
{

Spi::Spi(bool nonatomic) : exceptions(std::uncaught_exceptions())
{
    call([&] { SPI_connect_ext(nonatomic ? SPI_OPT_NONATOMIC : 0); });
}

Spi::~Spi()
{
    // On an error the abort closes the connection; before it, PostgreSQL may not be called.
    if (std::uncaught_exceptions() == exceptions)
        SPI_finish();
}

namespace
{

Rows finish(int result, const std::string &sql)
{
    if (result < 0)
        throw Error(ERRCODE_INTERNAL_ERROR, std::string("SPI failed: ") + SPI_result_code_string(result)).detail(sql);
    return Rows(SPI_tuptable, SPI_processed);
}

} // namespace

Rows execute(const std::string &sql, const Args &args, bool read_only, long limit)
{
    const int result = call(
        [&]
        {
            return SPI_execute_with_args(sql.c_str(), static_cast<int>(args.types.size()),
                                         const_cast<Oid *>(args.types.data()), const_cast<Datum *>(args.values.data()),
                                         args.nulls.c_str(), read_only, limit);
        });
    return finish(result, sql);
}

Statement::~Statement()
{
    if (plan)
        SPI_freeplan(plan);
}

SPIPlanPtr Statement::prepared(const Args &args)
{
    if (!plan)
        plan = call(
            [&]
            {
                // Planned once: no value of ours makes another plan the better one.
                SPIPlanPtr prepared = SPI_prepare_cursor(sql.c_str(), static_cast<int>(args.types.size()),
                                                         const_cast<Oid *>(args.types.data()), CURSOR_OPT_GENERIC_PLAN);
                if (!prepared)
                    elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
                SPI_keepplan(prepared);
                return prepared;
            });
    return plan;
}

Rows Statement::execute(const Args &args, bool read_only, long limit)
{
    prepared(args);
    const int result = call(
        [&] {
            return SPI_execute_plan(plan, const_cast<Datum *>(args.values.data()), args.nulls.c_str(), read_only,
                                    limit);
        });
    return finish(result, sql);
}

} // namespace pg
