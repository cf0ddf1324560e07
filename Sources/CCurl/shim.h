#pragma once
#include <curl/curl.h>

// Swift cannot call variadic functions; these are the calls that Waggle makes.

typedef size_t (*waggle_curl_transfer)(char *buffer, size_t size, size_t count, void *context);

static inline void waggle_curl_set_text(CURL *easy, CURLoption option, const char *value) { curl_easy_setopt(easy, option, value); }
static inline void waggle_curl_set_long(CURL *easy, CURLoption option, long value) { curl_easy_setopt(easy, option, value); }
static inline void waggle_curl_set_headers(CURL *easy, struct curl_slist *headers) { curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers); }
static inline void waggle_curl_set_callbacks(
    CURL *easy, waggle_curl_transfer read, waggle_curl_transfer write, waggle_curl_transfer header, void *context) {
    if (read) {
        curl_easy_setopt(easy, CURLOPT_READFUNCTION, read);
        curl_easy_setopt(easy, CURLOPT_READDATA, context);
    }
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, write);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, context);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, context);
}
static inline long waggle_curl_status(CURL *easy) {
    long status = 0;
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    return status;
}
// The outcome of the finished transfer, or -1 while it runs.
static inline int waggle_curl_result(CURLM *multi) {
    int left = 0;
    CURLMsg *message;
    while ((message = curl_multi_info_read(multi, &left)))
        if (message->msg == CURLMSG_DONE) return message->data.result;
    return -1;
}
