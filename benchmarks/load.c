/*
 * A load generator that is not the bottleneck: one thread, epoll, HTTP/1.1 keep-alive, loopback only.
 *
 *   closed loop   each of --connections sends its next request when the last answer is whole
 *   open loop     --rate R: requests are sent on a fixed plan; the latency counts from the planned time, so waiting
 *                 for a slow server counts too (no coordinated omission)
 *   hold          --hold N: opens N streams, prints {"held": N} once each has its first event, keeps them open until
 *                 stdin ends or --seconds are over, then leaves in the middle
 *
 * Answers are read with Content-Length or chunked, and must be whole: a stream's last bytes have to hold --end, which is
 * OpenAI's [DONE] unless another is given. Whatever is not a whole 200 is counted apart and never as a request served.
 * The result is one line of JSON on stdout.
 *
 * Usage: load --port N --body FILE [--path P] [--header "Name: value"]... [--connections N] [--seconds S]
 *             [--requests N] [--rate R] [--hold N] [--stream 1] [--end TEXT] [--tls 1]
 * With --tls it speaks TLS and looks at no certificate: what is measured is the other side.
 * Build: cc -O2 load.c -o load                                      without TLS
 *        cc -O2 -DWITH_TLS load.c -o load -lssl -lcrypto
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>
#ifdef WITH_TLS
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#endif

enum { HEAD_ROOM = 16 << 10, READ_SIZE = 256 << 10, TAIL = 64, OPENING_AT_ONCE = 64, GRACE_S = 10, MAX_REQUESTS = 20000000 };
enum { READ_HEAD, READ_SIZED, READ_CHUNK_SIZE, READ_CHUNK, READ_CHUNK_END, READ_TRAILER, READ_WHOLE };

typedef struct {
    int fd;
    bool busy, saw_first;
    uint64_t from, first_at; /* ns: planned or real time of sending; time of the first body byte */
    size_t sent;
    char *head; /* of the answer, until it is whole */
    size_t head_len;
    int state, status;
    uint64_t left; /* bytes of the body, or of the chunk */
    char line[32];
    int line_len;
    char tail[TAIL]; /* the last bytes of the body */
    bool newline;    /* the last body byte was one: two in a row end an event */
#ifdef WITH_TLS
    SSL *ssl;
#endif
} Conn;

typedef struct {
    float *us;
    size_t len, room;
} Series;

static struct {
    int port, connections, hold, stream;
    double seconds, rate;
    uint64_t requests;
    const char *path, *body_file, *end;
    char headers[8192];
} option = {.connections = 32, .seconds = 2, .requests = MAX_REQUESTS, .path = "/v1/chat/completions", .end = "data: [DONE]\n\n"};

static struct {
    uint64_t sent, whole, in_window, other_status, truncated, connect_failed, reconnects, bytes, events, unanswered;
    char failure[256];
} count;

static Series latency, first_byte;
static int epoll_fd, timer_fd, still_open, got_first;
static char *request;
static size_t request_len;
static uint64_t begun, window_end, planned; /* planned: requests whose time has come, in the open loop */
static Conn **idle;
static int idle_len;
static bool woken;
#ifdef WITH_TLS
static SSL_CTX *tls_context;
#endif

static void die(const char *what) {
    perror(what);
    exit(1);
}

static void *must(void *memory) {
    if (!memory) die("memory");
    return memory;
}

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- figures ---------------------------------------------------------------------------------------------------- */

static void note(Series *series, uint64_t ns) {
    if (series->len == series->room) {
        series->room = series->room ? series->room * 2 : 1 << 16;
        series->us = must(realloc(series->us, series->room * sizeof *series->us));
    }
    series->us[series->len++] = (float)ns / 1000.0f;
}

static int by_size(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static double at_share(const Series *series, double share) {
    if (!series->len) return 0;
    size_t at = (size_t)(share * (double)series->len);
    return series->us[at < series->len ? at : series->len - 1];
}

static void print_series(const char *name, Series *series) {
    if (series->len) qsort(series->us, series->len, sizeof *series->us, by_size);
    double sum = 0;
    for (size_t i = 0; i < series->len; i++) sum += series->us[i];
    printf(", \"%s\": {\"mean\": %.1f, \"p50\": %.1f, \"p90\": %.1f, \"p99\": %.1f, \"max\": %.1f}", name,
           series->len ? sum / (double)series->len : 0, at_share(series, .5), at_share(series, .9), at_share(series, .99),
           at_share(series, 1));
}

static void note_failure(const char *text, size_t len) {
    if (count.failure[0]) return;
    if (len > sizeof count.failure - 1) len = sizeof count.failure - 1;
    for (size_t i = 0; i < len; i++) /* kept fit for a JSON string */
        count.failure[i] = text[i] < ' ' || text[i] == '"' || text[i] == '\\' || text[i] == 127 ? ' ' : text[i];
}

static void print_result(void) {
    double elapsed = (double)(now_ns() - begun) / 1e9;
    double window = elapsed < option.seconds ? elapsed : option.seconds;
    printf("{\"seconds\": %.3f, \"sent\": %lu, \"requests\": %lu, \"per_second\": %.1f, \"other_status\": %lu, \"truncated\": %lu, "
           "\"connect_failed\": %lu, \"unanswered\": %lu, \"reconnects\": %lu, \"events\": %lu, \"bytes\": %lu, \"failure\": \"%s\"",
           elapsed, count.sent, count.whole, (double)count.in_window / window, count.other_status, count.truncated,
           count.connect_failed, count.unanswered, count.reconnects, count.events, count.bytes, count.failure);
    print_series("latency_us", &latency);
    print_series("first_byte_us", &first_byte);
    printf("}\n");
}

/* ---- sending ---------------------------------------------------------------------------------------------------- */

static void watch(Conn *c, int action, bool out) {
    struct epoll_event event = {.events = EPOLLIN | (out ? EPOLLOUT : 0), .data.ptr = c};
    epoll_ctl(epoll_fd, action, c->fd, &event);
}

/* What moved; 0 at the end; -1 when it would have to wait. */
static ssize_t io_read(Conn *c, char *into, size_t room) {
#ifdef WITH_TLS
    if (c->ssl) {
        int n = SSL_read(c->ssl, into, (int)room);
        if (n > 0) return n;
        int why = SSL_get_error(c->ssl, n);
        ERR_clear_error();
        return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ? -1 : 0;
    }
#endif
    ssize_t n = recv(c->fd, into, room, MSG_DONTWAIT);
    return n >= 0 ? n : errno == EAGAIN || errno == EINTR ? -1 : 0;
}

static ssize_t io_write(Conn *c, const char *data, size_t len) {
#ifdef WITH_TLS
    if (c->ssl) {
        int n = SSL_write(c->ssl, data, (int)len);
        ERR_clear_error();
        return n > 0 ? n : -1;
    }
#endif
    return send(c->fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static bool shake_hands(Conn *c) {
#ifdef WITH_TLS
    if (!tls_context) return true;
    c->ssl = must(SSL_new(tls_context));
    SSL_set_fd(c->ssl, c->fd);
    if (SSL_connect(c->ssl) != 1) { /* the socket still waits */
        ERR_clear_error();
        SSL_free(c->ssl);
        c->ssl = NULL;
        return false;
    }
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
#endif
    (void)c;
    return true;
}

static bool connect_conn(Conn *c) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)option.port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int on = 1;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(c->fd, (struct sockaddr *)&address, sizeof address) || !shake_hands(c)) {
        note_failure("connect: ", 9);
        count.connect_failed++;
        close(c->fd);
        c->fd = -1;
        return false;
    }
    still_open++;
    watch(c, EPOLL_CTL_ADD, false);
    return true;
}

static void disconnect(Conn *c) {
    if (c->fd >= 0) {
#ifdef WITH_TLS
        if (c->ssl) SSL_free(c->ssl);
        c->ssl = NULL;
#endif
        close(c->fd);
        still_open--;
    }
    c->fd = -1;
}

static void send_more(Conn *c) {
    bool waited = c->sent > 0;
    while (c->sent < request_len) {
        ssize_t n = io_write(c, request + c->sent, request_len - c->sent);
        if (n < 0) break; /* full, or gone: reading will tell */
        c->sent += (size_t)n;
    }
    if (c->sent < request_len) watch(c, EPOLL_CTL_MOD, true);
    else if (waited) watch(c, EPOLL_CTL_MOD, false);
}

static void send_request(Conn *c, uint64_t from) {
    if (c->fd < 0 && !connect_conn(c)) return;
    c->busy = true;
    c->saw_first = c->newline = false;
    c->from = from;
    c->state = READ_HEAD;
    c->head_len = c->sent = 0;
    c->line_len = 0;
    memset(c->tail, 0, TAIL);
    count.sent++;
    send_more(c);
}

static uint64_t planned_time(uint64_t number) { return begun + (uint64_t)((double)number * 1e9 / option.rate); }

/* What an idle connection does next. */
static void send_next(Conn *c) {
    if (option.hold) return;
    if (option.rate > 0) {
        if (count.sent < planned) send_request(c, planned_time(count.sent));
        else idle[idle_len++] = c;
        return;
    }
    uint64_t now = now_ns();
    if (now < window_end && count.sent < option.requests) send_request(c, now);
}

/* ---- reading ---------------------------------------------------------------------------------------------------- */

static void finish(Conn *c) {
    uint64_t now = now_ns();
    c->busy = false;
    if (c->status != 200) {
        count.other_status++;
        note_failure(c->head, c->head_len);
    } else if (option.stream && memmem(c->tail, TAIL, option.end, strlen(option.end)) == NULL) {
        count.truncated++;
        note_failure("the stream did not end as it should", 35);
    } else {
        count.whole++;
        if (now <= window_end) count.in_window++;
        note(&latency, now - c->from);
        note(&first_byte, c->first_at - c->from);
    }
    send_next(c);
}

static void lost(Conn *c) {
    bool was_busy = c->busy;
    c->busy = false;
    disconnect(c);
    if (was_busy) {
        count.truncated++;
        note_failure("closed in the middle of an answer", 33);
        send_next(c);
    } else {
        count.reconnects++; /* when it is needed again */
    }
}

static void take_body(Conn *c, const char *data, size_t len) {
    if (!c->saw_first) {
        c->saw_first = true;
        c->first_at = now_ns();
        got_first++;
    }
    count.bytes += len;
    if (option.stream || option.hold) {
        bool newline = c->newline;
        for (size_t i = 0; i < len; i++) {
            bool now = data[i] == '\n';
            count.events += now && newline;
            newline = now && !newline;
        }
        c->newline = newline;
    }
    if (len >= TAIL) {
        memcpy(c->tail, data + len - TAIL, TAIL);
    } else {
        memmove(c->tail, c->tail + len, TAIL - len);
        memcpy(c->tail + TAIL - len, data, len);
    }
}

static void read_head_lines(Conn *c) {
    c->status = c->head_len > 12 ? atoi(c->head + 9) : 0;
    c->left = 0;
    c->state = READ_SIZED;
    for (char *line = c->head; line && *line; line = strchr(line, '\n'), line = line ? line + 1 : NULL) {
        if (strncasecmp(line, "content-length:", 15) == 0) c->left = strtoull(line + 15, NULL, 10);
        if (strncasecmp(line, "transfer-encoding: chunked", 26) == 0) c->state = READ_CHUNK_SIZE;
    }
    if (c->state == READ_SIZED && c->left == 0) c->state = READ_WHOLE;
}

static size_t take_head(Conn *c, const char *data, size_t len) {
    size_t before = c->head_len, room = HEAD_ROOM - 1 - before, take = len < room ? len : room;
    memcpy(c->head + before, data, take);
    c->head[before + take] = 0;
    char *end = strstr(c->head + (before > 3 ? before - 3 : 0), "\r\n\r\n");
    if (!end) {
        c->head_len += take;
        return take;
    }
    c->head_len = (size_t)(end - c->head) + 4;
    c->head[c->head_len] = 0;
    read_head_lines(c);
    return c->head_len - before;
}

static size_t take_line(Conn *c, const char *data, size_t len) {
    for (size_t i = 0; i < len; i++) {
        if (data[i] != '\n') {
            if (c->line_len < (int)sizeof c->line - 1) c->line[c->line_len++] = data[i];
            continue;
        }
        c->line[c->line_len] = 0;
        bool empty = c->line_len == 0 || c->line[0] == '\r';
        c->line_len = 0;
        if (c->state == READ_CHUNK_SIZE) {
            c->left = strtoull(c->line, NULL, 16);
            c->state = c->left ? READ_CHUNK : READ_TRAILER;
        } else if (c->state == READ_CHUNK_END) {
            c->state = READ_CHUNK_SIZE;
        } else if (empty) {
            c->state = READ_WHOLE;
        }
        return i + 1;
    }
    return len;
}

static size_t take_sized(Conn *c, const char *data, size_t len) {
    size_t take = len < c->left ? len : (size_t)c->left;
    take_body(c, data, take);
    c->left -= take;
    if (c->left == 0) c->state = c->state == READ_CHUNK ? READ_CHUNK_END : READ_WHOLE;
    return take;
}

static void on_bytes(Conn *c, const char *data, size_t len) {
    while (len > 0 && c->busy) {
        size_t used;
        if (c->state == READ_HEAD) used = take_head(c, data, len);
        else if (c->state == READ_SIZED || c->state == READ_CHUNK) used = take_sized(c, data, len);
        else used = take_line(c, data, len);
        data += used;
        len -= used;
        if (c->state == READ_WHOLE) finish(c);
        else if (used == 0) { /* a head without end */
            lost(c);
            return;
        }
    }
}

/* Decrypted bytes that wait in the library are none that epoll would tell of. */
static bool more_decrypted(Conn *c) {
#ifdef WITH_TLS
    return c->ssl && SSL_has_pending(c->ssl);
#endif
    (void)c;
    return false;
}

static void on_readable(Conn *c) {
    static char buffer[READ_SIZE];
    ssize_t n;
    do {
        n = io_read(c, buffer, sizeof buffer);
        if (n > 0) on_bytes(c, buffer, (size_t)n);
        else if (n == 0) lost(c);
    } while (n > 0 && c->fd >= 0 && more_decrypted(c));
}

/* ---- the loops -------------------------------------------------------------------------------------------------- */

static void poll_once(int timeout_ms) {
    struct epoll_event events[256];
    int n = epoll_wait(epoll_fd, events, 256, timeout_ms);
    for (int i = 0; i < n; i++) {
        Conn *c = events[i].data.ptr;
        if (!c) woken = true; /* the timer, or stdin */
        if (!c) continue;
        if (events[i].events & EPOLLOUT) send_more(c);
        if (events[i].events & ~(uint32_t)EPOLLOUT) on_readable(c);
    }
}

static Conn *open_conn(void) {
    Conn *c = must(calloc(1, sizeof *c));
    c->head = must(calloc(1, HEAD_ROOM));
    return connect_conn(c) ? c : NULL;
}

static bool any_busy(void) { return count.sent > count.whole + count.other_status + count.truncated; }

static void drain(void) {
    uint64_t until = now_ns() + (uint64_t)GRACE_S * 1000000000u;
    while (any_busy() && now_ns() < until) poll_once(50);
    count.unanswered = count.sent - count.whole - count.other_status - count.truncated;
}

static void run_closed(void) {
    for (int i = 0; i < option.connections; i++) {
        Conn *c = open_conn();
        if (c) send_next(c);
    }
    while (now_ns() < window_end && any_busy()) poll_once(50);
    drain();
}

static void set_timer(uint64_t due) {
    struct itimerspec spec = {.it_value = {(time_t)(due / 1000000000u), (long)(due % 1000000000u)}};
    timerfd_settime(timer_fd, TFD_TIMER_ABSTIME, &spec, NULL);
}

static void run_open(void) {
    uint64_t all = (uint64_t)(option.rate * option.seconds), ticks;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, timer_fd, &event);
    for (int i = 0; i < option.connections; i++) {
        Conn *c = open_conn();
        if (c) idle[idle_len++] = c;
    }
    begun = now_ns() + 1000000; /* the plan starts after the connecting */
    while (planned < all && still_open) {
        set_timer(planned_time(planned));
        poll_once(1000);
        while (read(timer_fd, &ticks, sizeof ticks) > 0) continue;
        for (uint64_t now = now_ns(); planned < all && planned_time(planned) <= now;) planned++;
        while (idle_len && count.sent < planned) {
            uint64_t before = count.sent;
            send_request(idle[--idle_len], planned_time(count.sent));
            if (count.sent == before) break; /* it cannot connect any more */
        }
    }
    window_end = now_ns() + (uint64_t)GRACE_S * 1000000000u; /* each one that was planned counts */
    drain();
    count.in_window = count.whole;
}

static void run_hold(void) {
    uint64_t give_up = now_ns() + 60u * 1000000000u;
    int opened = 0;
    while (opened < option.hold && now_ns() < give_up) {
        while (opened < option.hold && opened - got_first < OPENING_AT_ONCE) {
            Conn *c = open_conn();
            if (!c) return;
            send_request(c, now_ns());
            opened++;
        }
        poll_once(50);
    }
    while (got_first < option.hold && now_ns() < give_up && still_open) poll_once(50);
    printf("{\"held\": %d}\n", got_first < still_open ? got_first : still_open);
    fflush(stdout);
    struct epoll_event event = {.events = EPOLLIN | EPOLLHUP, .data.ptr = NULL};
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, STDIN_FILENO, &event);
    uint64_t until = now_ns() + (uint64_t)(option.seconds * 1e9);
    while (now_ns() < until && !woken) poll_once(50);
    count.unanswered = (uint64_t)still_open; /* left open by us */
}

/* ---- options ---------------------------------------------------------------------------------------------------- */

static void build_request(void) {
    FILE *file = fopen(option.body_file, "rb");
    if (!file) die(option.body_file);
    fseek(file, 0, SEEK_END);
    size_t body_len = (size_t)ftell(file);
    rewind(file);
    request = must(malloc(body_len + sizeof option.headers + 1024));
    request_len = (size_t)sprintf(request, "POST %.512s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: application/json\r\n"
                                           "Accept: application/json\r\nUser-Agent: penstock-bench\r\n%sContent-Length: %zu\r\n\r\n",
                                  option.path, option.port, option.headers, body_len);
    if (fread(request + request_len, 1, body_len, file) != body_len) die(option.body_file);
    request_len += body_len;
    fclose(file);
}

static bool set_option(const char *name, const char *value) {
    size_t used = strlen(option.headers);
    if (!strcmp(name, "--port")) option.port = atoi(value);
    else if (!strcmp(name, "--path")) option.path = value;
    else if (!strcmp(name, "--end")) option.end = value;
    else if (!strcmp(name, "--body")) option.body_file = value;
    else if (!strcmp(name, "--header")) snprintf(option.headers + used, sizeof option.headers - used, "%s\r\n", value);
    else if (!strcmp(name, "--connections")) option.connections = atoi(value);
    else if (!strcmp(name, "--seconds")) option.seconds = atof(value);
    else if (!strcmp(name, "--requests")) option.requests = strtoull(value, NULL, 10);
    else if (!strcmp(name, "--rate")) option.rate = atof(value);
    else if (!strcmp(name, "--hold")) option.hold = atoi(value);
    else if (!strcmp(name, "--stream")) option.stream = atoi(value);
#ifdef WITH_TLS
    else if (!strcmp(name, "--tls")) tls_context = atoi(value) ? SSL_CTX_new(TLS_client_method()) : NULL;
#endif
    else return false;
    return true;
}

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i += 2)
        if (i + 1 == argc || !set_option(argv[i], argv[i + 1])) return fprintf(stderr, "load: bad option %s\n", argv[i]), 2;
    if (!option.port || !option.body_file || option.seconds <= 0 || option.connections < 1)
        return fprintf(stderr, "load: --port, --body and sane numbers are needed\n"), 2;
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    signal(SIGPIPE, SIG_IGN);
    alarm((unsigned)option.seconds + 90);
#ifdef WITH_TLS
    if (tls_context) SSL_CTX_set_mode(tls_context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
#endif
    build_request();
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    idle = must(calloc((size_t)option.connections, sizeof *idle));
    begun = now_ns();
    window_end = begun + (uint64_t)(option.seconds * 1e9);
    if (option.hold) run_hold();
    else if (option.rate > 0) run_open();
    else run_closed();
    print_result();
    return 0;
}
