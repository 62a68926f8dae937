/*
 * A fixed, very fast provider: one thread, epoll, HTTP/1.1 with keep-alive, loopback only.
 *
 * It answers POST /v1/chat/completions by the shape that the request's model names (or ?shape= in the query):
 *
 *   u[dUS]                      unary: a chat.completion of about 1.2 KB with usage
 *   sEVENTSxTOGETHER[gUS][dUS]  streamed: EVENTS events of about 330 bytes in all (the last three are the finish,
 *                               the usage and [DONE]), TOGETHER of them per write, writes US microseconds apart
 *   dUS                         waits that long before it answers
 *
 * Every event is an HTTP chunk of its own, as real providers send them. A stream's first write goes out at once, the
 * second after a fraction of the gap that differs from stream to stream, so that streams begun together do not beat
 * together. Bodies are counted by Content-Length and searched for the model, nothing else.
 *
 * Usage: upstream [--port N] [--seconds N] [--cert FILE --key FILE]      prints "ready PORT"; ends after --seconds.
 * Build: cc -O2 upstream.c -o upstream            without TLS
 *        cc -O2 -DWITH_TLS upstream.c -o upstream -lssl -lcrypto
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
#include <openssl/err.h>
#include <openssl/ssl.h>
#endif

enum { MAX_HEAD = 64 << 10, MAX_BODY = 16 << 20, READ_SIZE = 128 << 10, MAX_TOGETHER = 64, EVENT_ROOM = 512 };

typedef struct {
    bool stream;
    int events, together;
    uint64_t gap_ns, delay_ns;
} Shape;

typedef struct {
    int fd;
    bool tls, busy, dead, watching_out;
    char *in, *out;
    size_t in_len, in_room, out_len, out_sent, out_room;
    Shape shape;
    int sent_events; /* -1: the head of the answer has not gone out yet */
    uint64_t due;
    int heap_at; /* place in the timer heap, -1 when no timer runs */
#ifdef WITH_TLS
    SSL *ssl;
#endif
} Conn;

static int epoll_fd, timer_fd;
static uint64_t timer_set_to;
static Conn **heap;
static int heap_len, heap_room;
static uint32_t phase_seed = 1;
static char event_text[EVENT_ROOM], event_role[EVENT_ROOM], event_finish[EVENT_ROOM], event_usage[EVENT_ROOM], event_done[64];
static char unary_answer[4096];
static size_t unary_len;
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

/* ---- what is answered ------------------------------------------------------------------------------------------ */

#define CHUNK_HEAD "data: {\"id\":\"chatcmpl-B9MHDbslfkBeAs8l4bebGdFOJ6PeG\",\"object\":\"chat.completion.chunk\"," \
    "\"created\":1741570283,\"model\":\"gpt-4o-mini-2024-07-18\",\"service_tier\":\"default\"," \
    "\"system_fingerprint\":\"fp_50cad350e4\",\"choices\":["

static void make_event(char *into, const char *rest) {
    char text[EVENT_ROOM - 32];
    snprintf(text, sizeof text, "%s%s\n\n", CHUNK_HEAD, rest);
    snprintf(into, EVENT_ROOM, "%zx\r\n%s\r\n", strlen(text), text);
}

#define ANSWER_HEAD "content-type: %s\r\nopenai-organization: bench\r\nopenai-processing-ms: 9\r\nopenai-version: 2020-10-01\r\n" \
    "x-ratelimit-remaining-requests: 9999\r\nx-request-id: req_0d9d8b1f5b0e4c4fa1c2d3e4f5a6b7c8\r\nserver: bench\r\n"

static void make_answers(void) {
    make_event(event_role, "{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\",\"refusal\":null},"
                           "\"logprobs\":null,\"finish_reason\":null}],\"usage\":null}");
    make_event(event_text, "{\"index\":0,\"delta\":{\"content\":\" understanding\"},"
                           "\"logprobs\":null,\"finish_reason\":null}],\"usage\":null}");
    make_event(event_finish, "{\"index\":0,\"delta\":{},\"logprobs\":null,\"finish_reason\":\"stop\"}],\"usage\":null}");
    make_event(event_usage, "],\"usage\":{\"prompt_tokens\":19,\"completion_tokens\":197,\"total_tokens\":216}}");
    strcpy(event_done, "e\r\ndata: [DONE]\n\n\r\n");

    char body[2048], text[641];
    const char *words = "The water leaves the reservoir through the penstock and turns the wheel below. ";
    for (size_t i = 0; i < sizeof text - 1; i++) text[i] = words[i % strlen(words)];
    text[sizeof text - 1] = 0;
    snprintf(body, sizeof body,
             "{\n  \"id\": \"chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT\",\n  \"object\": \"chat.completion\",\n"
             "  \"created\": 1741569952,\n  \"model\": \"gpt-4o-mini-2024-07-18\",\n  \"choices\": [\n    {\n      \"index\": 0,\n"
             "      \"message\": {\"role\": \"assistant\", \"content\": \"%s\", \"refusal\": null, \"annotations\": []},\n"
             "      \"logprobs\": null,\n      \"finish_reason\": \"stop\"\n    }\n  ],\n"
             "  \"usage\": {\"prompt_tokens\": 19, \"completion_tokens\": 142, \"total_tokens\": 161,\n"
             "    \"prompt_tokens_details\": {\"cached_tokens\": 0, \"audio_tokens\": 0},\n"
             "    \"completion_tokens_details\": {\"reasoning_tokens\": 0, \"audio_tokens\": 0}},\n"
             "  \"service_tier\": \"default\",\n  \"system_fingerprint\": \"fp_50cad350e4\"\n}\n", text);
    unary_len = (size_t)snprintf(unary_answer, sizeof unary_answer,
                                 "HTTP/1.1 200 OK\r\n" ANSWER_HEAD "content-length: %zu\r\n\r\n%s",
                                 "application/json", strlen(body), body);
}

static uint64_t microseconds(const char **at, char letter) {
    if (**at != letter) return 0;
    char *end;
    uint64_t us = strtoull(*at + 1, &end, 10);
    *at = end;
    return us * 1000;
}

/* The name ends at a quote, a space or the end of the string. False: no shape of ours. */
static bool read_shape(const char *name, Shape *shape) {
    char *end;
    const char *at = name + 1;
    memset(shape, 0, sizeof *shape);
    if (*name == 's') {
        shape->stream = true;
        shape->events = (int)strtol(at, &end, 10);
        if (*end != 'x') return false;
        shape->together = (int)strtol(end + 1, &end, 10);
        at = end;
        shape->gap_ns = microseconds(&at, 'g');
        if (shape->events < 5 || shape->together < 1 || shape->together > MAX_TOGETHER) return false;
    } else if (*name != 'u') {
        return false;
    }
    shape->delay_ns = microseconds(&at, 'd');
    return *at == '"' || *at == ' ' || *at == '&' || *at == 0;
}

/* ---- timers: a binary heap by due time under one timerfd -------------------------------------------------------- */

static void heap_put(int at, Conn *c) {
    heap[at] = c;
    c->heap_at = at;
}

static void heap_up(int at) {
    Conn *c = heap[at];
    for (; at > 0 && heap[(at - 1) / 2]->due > c->due; at = (at - 1) / 2) heap_put(at, heap[(at - 1) / 2]);
    heap_put(at, c);
}

static void heap_down(int at) {
    Conn *c = heap[at];
    for (int child; (child = 2 * at + 1) < heap_len; at = child) {
        if (child + 1 < heap_len && heap[child + 1]->due < heap[child]->due) child++;
        if (heap[child]->due >= c->due) break;
        heap_put(at, heap[child]);
    }
    heap_put(at, c);
}

static void timer_remove(Conn *c) {
    int at = c->heap_at;
    if (at < 0) return;
    c->heap_at = -1;
    Conn *last = heap[--heap_len];
    if (last == c) return;
    heap_put(at, last);
    heap_up(at);
    heap_down(last->heap_at);
}

static void timer_add(Conn *c, uint64_t due) {
    if (heap_len == heap_room) {
        heap_room = heap_room ? heap_room * 2 : 1024;
        heap = must(realloc(heap, (size_t)heap_room * sizeof *heap));
    }
    c->due = due;
    heap_put(heap_len, c);
    heap_up(heap_len++);
}

static void timer_arm(void) {
    uint64_t due = heap_len ? heap[0]->due : 0;
    if (due == timer_set_to) return;
    struct itimerspec spec = {.it_value = {(time_t)(due / 1000000000u), (long)(due % 1000000000u)}};
    timerfd_settime(timer_fd, TFD_TIMER_ABSTIME, &spec, NULL);
    timer_set_to = due;
}

/* ---- sockets ---------------------------------------------------------------------------------------------------- */

/* More than 0: bytes; 0: the other side has gone; -1: nothing now. */
static ssize_t io_result(Conn *c, ssize_t n) {
#ifdef WITH_TLS
    if (c->tls) {
        if (n > 0) return n;
        int why = SSL_get_error(c->ssl, (int)n);
        ERR_clear_error();
        return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ? -1 : 0;
    }
#endif
    (void)c;
    if (n >= 0) return n;
    return errno == EAGAIN || errno == EINTR ? -1 : 0;
}

static ssize_t io_read(Conn *c, char *into, size_t room) {
#ifdef WITH_TLS
    if (c->tls) return io_result(c, SSL_read(c->ssl, into, (int)room));
#endif
    return io_result(c, recv(c->fd, into, room, 0));
}

static ssize_t io_write(Conn *c, const char *data, size_t len) {
#ifdef WITH_TLS
    if (c->tls) return io_result(c, SSL_write(c->ssl, data, (int)len));
#endif
    return io_result(c, send(c->fd, data, len, MSG_NOSIGNAL));
}

static void watch_out(Conn *c, bool on) {
    if (c->watching_out == on) return;
    struct epoll_event event = {.events = EPOLLIN | (on ? EPOLLOUT : 0), .data.ptr = c};
    epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &event);
    c->watching_out = on;
}

static void flush_out(Conn *c) {
    while (c->out_sent < c->out_len) {
        ssize_t n = io_write(c, c->out + c->out_sent, c->out_len - c->out_sent);
        if (n == 0) c->dead = true;
        if (n <= 0) break;
        c->out_sent += (size_t)n;
    }
    if (c->out_sent == c->out_len) c->out_sent = c->out_len = 0;
    watch_out(c, c->out_len > 0 && !c->dead);
}

static void answer(Conn *c, const char *data, size_t len) {
    if (c->dead) return;
    if (c->out_len == 0) { /* the usual case: the socket takes it all */
        ssize_t n = io_write(c, data, len);
        if (n == 0) c->dead = true;
        if (n == 0 || (size_t)n == len) return;
        if (n > 0) data += n, len -= (size_t)n;
    }
    if (c->out_len + len > c->out_room) {
        c->out_room = c->out_len + len + 8192;
        c->out = must(realloc(c->out, c->out_room));
    }
    memcpy(c->out + c->out_len, data, len);
    c->out_len += len;
    watch_out(c, true);
}

/* ---- streams ---------------------------------------------------------------------------------------------------- */

static const char *event_at(const Shape *shape, int at) {
    if (at == 0) return event_role;
    if (at == shape->events - 1) return event_done;
    if (at == shape->events - 2) return event_usage;
    return at == shape->events - 3 ? event_finish : event_text;
}

static size_t put(char *into, const char *text) {
    size_t len = strlen(text);
    memcpy(into, text, len);
    return len;
}

/* One write: the next events together, with the head before the first and the end after the last. */
static void stream_write(Conn *c) {
    static char buffer[MAX_TOGETHER * EVENT_ROOM + 1024];
    size_t len = 0;
    if (c->sent_events < 0) {
        len = (size_t)sprintf(buffer, "HTTP/1.1 200 OK\r\n" ANSWER_HEAD "transfer-encoding: chunked\r\n\r\n",
                              "text/event-stream; charset=utf-8");
        c->sent_events = 0;
    }
    for (int i = 0; i < c->shape.together && c->sent_events < c->shape.events; i++)
        len += put(buffer + len, event_at(&c->shape, c->sent_events++));
    if (c->sent_events == c->shape.events) {
        len += put(buffer + len, "0\r\n\r\n");
        c->busy = false;
    }
    answer(c, buffer, len);
}

static uint64_t gap_after_write(Conn *c) {
    if (c->sent_events > c->shape.together) return c->shape.gap_ns;
    phase_seed = phase_seed * 1664525u + 1013904223u; /* a fixed sequence: every run has the same phases */
    return c->shape.gap_ns * (phase_seed >> 8) >> 24;
}

static void stream_go_on(Conn *c) {
    while (c->busy && !c->dead && c->out_len == 0) { /* a slow reader: wait for EPOLLOUT */
        stream_write(c);
        if (c->busy && c->shape.gap_ns) {
            uint64_t from = c->due ? c->due : now_ns(); /* by the plan, so that lateness does not add up */
            timer_add(c, from + gap_after_write(c));
            return;
        }
    }
}

/* ---- requests --------------------------------------------------------------------------------------------------- */

static void refuse(Conn *c, const char *status) {
    static const char body[] = "{\"error\":{\"message\":\"the benchmark's upstream has no answer for this\"}}";
    char text[512];
    int len = snprintf(text, sizeof text, "HTTP/1.1 %s\r\ncontent-type: application/json\r\ncontent-length: %zu\r\n\r\n%s",
                       status, sizeof body - 1, body);
    answer(c, text, (size_t)len);
}

static void begin_answer(Conn *c) {
    c->due = 0;
    if (!c->shape.stream) {
        c->busy = false;
        answer(c, unary_answer, unary_len);
        return;
    }
    c->sent_events = -1;
    stream_go_on(c);
}

static const char *find_model(const char *body, size_t len) {
    const char *at = memmem(body, len, "\"model\"", 7);
    if (!at) return NULL;
    for (at += 7; *at == ' ' || *at == ':'; at++) continue; /* the body is followed by a zero */
    return *at == '"' ? at + 1 : NULL;
}

static void handle(Conn *c, const char *head, const char *body, size_t body_len) {
    static const char target[] = "POST /v1/chat/completions";
    if (strncmp(head, target, sizeof target - 1) != 0) {
        refuse(c, "404 Not Found");
        return;
    }
    const char *query = head + sizeof target - 1;
    const char *name = strncmp(query, "?shape=", 7) == 0 ? query + 7 : find_model(body, body_len);
    if (!name || !read_shape(name, &c->shape)) {
        refuse(c, "400 Bad Request");
        return;
    }
    c->busy = true;
    if (c->shape.delay_ns) {
        c->sent_events = -2; /* not begun */
        timer_add(c, now_ns() + c->shape.delay_ns);
    } else {
        begin_answer(c);
    }
}

/* The declared length, 0 when none is declared, -1 when the body has no length we could count. */
static long content_length(const char *head, const char *end) {
    long length = 0;
    for (const char *line = head; line < end; line++) {
        if (strncasecmp(line, "content-length:", 15) == 0) length = strtol(line + 15, NULL, 10);
        if (strncasecmp(line, "transfer-encoding:", 18) == 0) return -1;
        line = memchr(line, '\n', (size_t)(end - line));
        if (!line) break;
    }
    return length;
}

/* Whole requests that have come in, one at a time; true when one was taken. */
static bool take_request(Conn *c) {
    char *end = memmem(c->in, c->in_len, "\r\n\r\n", 4);
    if (!end) {
        c->dead = c->in_len > MAX_HEAD;
        return false;
    }
    long length = content_length(c->in, end);
    size_t head_len = (size_t)(end - c->in) + 4;
    if (length < 0 || length > MAX_BODY) {
        refuse(c, "411 Length Required");
        c->dead = true;
        return false;
    }
    size_t whole = head_len + (size_t)length;
    if (c->in_len < whole) return false;
    char after = c->in[whole];
    c->in[whole] = 0;
    handle(c, c->in, c->in + head_len, (size_t)length);
    c->in[whole] = after;
    c->in_len -= whole;
    memmove(c->in, c->in + whole, c->in_len);
    return true;
}

static void on_readable(Conn *c) {
    for (;;) {
        if (c->in_room - c->in_len < READ_SIZE) {
            c->in_room = c->in_len + 2 * READ_SIZE;
            c->in = must(realloc(c->in, c->in_room + 1));
        }
        ssize_t n = io_read(c, c->in + c->in_len, READ_SIZE);
        if (n == 0 || c->in_len > MAX_BODY + MAX_HEAD) c->dead = true;
        if (n <= 0) break;
        c->in_len += (size_t)n;
        if (n < READ_SIZE && !c->tls) break; /* level-triggered: what is left comes again; OpenSSL must be emptied */
    }
    while (!c->busy && !c->dead && c->in_len && take_request(c)) continue;
    if (c->in_len == 0 && c->in_room > 4 * READ_SIZE) {
        free(c->in);
        c->in = NULL;
        c->in_room = 0;
    }
}

static void on_due(Conn *c) {
    if (c->sent_events == -2)
        begin_answer(c);
    else
        stream_go_on(c);
    while (!c->busy && !c->dead && c->in_len && take_request(c)) continue;
}

/* ---- connections ------------------------------------------------------------------------------------------------ */

static void close_conn(Conn *c) {
    timer_remove(c);
#ifdef WITH_TLS
    if (c->ssl) SSL_free(c->ssl);
#endif
    close(c->fd);
    free(c->in);
    free(c->out);
    free(c);
}

static void accept_all(int listener) {
    for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
        int on = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        Conn *c = must(calloc(1, sizeof *c));
        c->fd = fd;
        c->heap_at = -1;
#ifdef WITH_TLS
        if (tls_context) {
            c->tls = true;
            c->ssl = must(SSL_new(tls_context));
            SSL_set_fd(c->ssl, fd);
            SSL_set_accept_state(c->ssl); /* SSL_read makes the handshake */
        }
#endif
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
    }
}

static int open_listener(int port) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&address, len) || listen(fd, 4096)) die("listen");
    getsockname(fd, (struct sockaddr *)&address, &len);
    printf("ready %d\n", ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

static void on_event(Conn *c, uint32_t events) {
    if (events & EPOLLOUT) {
        flush_out(c);
        if (c->busy && c->heap_at < 0) stream_go_on(c);
    }
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) on_readable(c);
    if (c->dead) close_conn(c);
}

static void run_timers(void) {
    uint64_t now = now_ns(), ticks;
    while (read(timer_fd, &ticks, sizeof ticks) > 0) timer_set_to = 0;
    while (heap_len && heap[0]->due <= now) {
        Conn *c = heap[0];
        timer_remove(c);
        on_due(c);
        if (c->dead) close_conn(c);
    }
}

/* Timers run after the sockets: no connection is freed while its event still waits in the list. */
static void serve(int listener) {
    struct epoll_event events[512];
    for (;;) {
        timer_arm();
        int n = epoll_wait(epoll_fd, events, 512, -1);
        bool due = false;
        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr == &timer_fd) due = true;
            else if (events[i].data.ptr == &epoll_fd) accept_all(listener);
            else on_event(events[i].data.ptr, events[i].events);
        }
        if (due) run_timers();
    }
}

static void load_certificate(const char *cert, const char *key) {
    if (!cert) return;
#ifdef WITH_TLS
    tls_context = SSL_CTX_new(TLS_server_method());
    SSL_CTX_set_mode(tls_context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    if (SSL_CTX_use_certificate_chain_file(tls_context, cert) != 1 ||
        SSL_CTX_use_PrivateKey_file(tls_context, key, SSL_FILETYPE_PEM) != 1) {
        fprintf(stderr, "upstream: no usable certificate in %s\n", cert);
        exit(1);
    }
#else
    (void)key;
    fprintf(stderr, "upstream: built without TLS\n");
    exit(1);
#endif
}

int main(int argc, char **argv) {
    int port = 0, seconds = 3600;
    const char *cert = NULL, *key = NULL;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (!strcmp(argv[i], "--port")) port = atoi(argv[i + 1]);
        else if (!strcmp(argv[i], "--seconds")) seconds = atoi(argv[i + 1]);
        else if (!strcmp(argv[i], "--cert")) cert = argv[i + 1];
        else if (!strcmp(argv[i], "--key")) key = argv[i + 1];
        else return fprintf(stderr, "upstream: unknown option %s\n", argv[i]), 2;
    }
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    signal(SIGPIPE, SIG_IGN);
    alarm((unsigned)seconds); /* whoever forgets us: we end by ourselves */
    make_answers();
    load_certificate(cert, key);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    int listener = open_listener(port);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &timer_fd};
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, timer_fd, &event);
    event.data.ptr = &epoll_fd;
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &event);
    serve(listener);
}
