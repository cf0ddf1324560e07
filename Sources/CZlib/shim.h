#pragma once
#include <zlib.h>

// Swift does not see macros with arguments. A deflater that writes gzip (RFC 1952).
static inline int waggle_gzip_begin(z_stream *stream, int level) {
    return deflateInit2(stream, level, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
}
