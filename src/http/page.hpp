// The files of the page, as they were when the program was built. CMake writes their bytes into a source file (embed.cmake).
#pragma once

#include <span>
#include <string_view>

namespace http
{

struct PageFile
{
    std::string_view path; // "/page.css"; index.html is "/"
    std::string_view type, content;
    std::string_view etag; // of the content, with its quotes
};

std::span<const PageFile> page_files();

} // namespace http
