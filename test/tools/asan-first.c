/*
 * Preloaded beside libasan, this starts AddressSanitizer before any library's constructor runs. Otherwise it starts at the
 * first malloc, which on Debian 12 is one of libgpg-error's constructor inside bindtextdomain(): there libasan's start asks for
 * a message of dlerror(), whose translation takes the lock that bindtextdomain() holds, and the server hangs. The linker's flag
 * -z initfirst makes it the first.
 */
#include <stdlib.h>

__attribute__((constructor)) static void asan_first(void)
{
    void *volatile block = malloc(1);
    free(block);
}
