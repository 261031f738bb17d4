#include "proc.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define MAX_CHILDREN 64
#define MAX_OUTPUT   (16u << 20)
#define RUN_MS       60000
#define NAP_MS       2

extern char **environ;

static pid_t children[MAX_CHILDREN];
static unsigned n_children;

int64_t pf_now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void pf_nap(int64_t ms)
{
    struct timespec t = {(time_t)(ms / 1000), (long)(ms % 1000) * 1000000L};

    nanosleep(&t, NULL);
}

void pf_isolate(const char *home)
{
    char name[128];
    char **e = environ;

    while (*e) {
        size_t n = strcspn(*e, "=");

        if ((strncmp(*e, "XDG_", 4) != 0 &&
             strncmp(*e, "POCKETFED_", 10) != 0) ||
            strncmp(*e, "POCKETFED_TEST_DATA=", 20) == 0 ||
            strncmp(*e, "POCKETFED_KERNELS=", 18) == 0 || n >= sizeof name) {
            e++;
            continue;
        }
        memcpy(name, *e, n);
        name[n] = '\0';
        unsetenv(name);
        e = environ; /* it has moved */
    }
    setenv("HOME", home, 1);
    setenv("NO_COLOR", "1", 1);
    unsetenv("NOTIFY_SOCKET");
    signal(SIGPIPE, SIG_IGN); /* a server that hangs up is a result */
}

/* ---- start and end ---- */

static void remember(pid_t pid)
{
    if (n_children == MAX_CHILDREN)
        fail_msg("more than %d programs at once", MAX_CHILDREN);
    children[n_children++] = pid;
}

static void forget(pid_t pid)
{
    unsigned i;

    for (i = 0; i < n_children; i++)
        if (children[i] == pid)
            children[i] = children[--n_children];
}

/* In the child: in, out and err are open files. */
static void become(const char *const argv[], pid_t parent, int in, int out,
                   int err)
{
    union {
        const char *const *in;
        char *const *out;
    } words = {argv};
    static const char cannot[] = "this program cannot be run: ";

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) /* it died before */
        _exit(127);
    signal(SIGPIPE, SIG_DFL);
    if (dup2(in, 0) == 0 && dup2(out, 1) == 1 && dup2(err, 2) == 2)
        execv(argv[0], words.out);
    if (write(2, cannot, sizeof cannot - 1) > 0 &&
        write(2, argv[0], strlen(argv[0])) > 0)
        _exit(127);
    _exit(127);
}

static pid_t start(const char *const argv[], int in, int out, int err)
{
    pid_t parent = getpid(), pid = fork();

    if (pid < 0)
        fail_msg("cannot fork: %s", strerror(errno));
    if (pid == 0)
        become(argv, parent, in, out, err);
    remember(pid);
    return pid;
}

pid_t pf_spawn(const char *const argv[], const char *log)
{
    int in = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int out = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    pid_t pid;

    if (in < 0 || out < 0)
        fail_msg("cannot open %s: %s", log, strerror(errno));
    pid = start(argv, in, out, out);
    close(in);
    close(out);
    return pid;
}

static int code_of(int status)
{
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int pf_wait(pid_t pid, int64_t ms, double *cpu_s)
{
    int64_t end = pf_now_ms() + ms * PF_SLOW;
    struct rusage use;
    int status;
    pid_t got;

    while ((got = wait4(pid, &status, WNOHANG, &use)) == 0) {
        if (pf_now_ms() > end) {
            pf_end(pid);
            fail_msg("process %d did not end within %lld ms", (int)pid,
                     (long long)ms * PF_SLOW);
        }
        pf_nap(NAP_MS);
    }
    if (got != pid)
        fail_msg("cannot wait for process %d: %s", (int)pid, strerror(errno));
    forget(pid);
    if (cpu_s)
        *cpu_s = (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
                 (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) * 1e-6;
    return code_of(status);
}

int pf_alive(pid_t pid)
{
    siginfo_t info;

    memset(&info, 0, sizeof info);
    return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
           info.si_pid == 0;
}

double pf_cpu_s(pid_t pid)
{
    unsigned long long user = 0, sys = 0;
    char path[64], line[1024] = "";
    const char *after;
    FILE *f;

    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    f = fopen(path, "r");
    if (!f)
        return 0;
    if (!fgets(line, sizeof line, f))
        line[0] = '\0';
    fclose(f);
    after = strrchr(line, ')'); /* the name may hold anything */
    if (!after || sscanf(after,
                         ") %*c %*s %*s %*s %*s %*s %*s %*s %*s %*s "
                         "%*s %llu %llu",
                         &user, &sys) != 2)
        return 0;
    return (double)(user + sys) / (double)sysconf(_SC_CLK_TCK);
}

void pf_signal(pid_t pid, int sig)
{
    if (kill(pid, sig) != 0)
        fail_msg("cannot signal process %d: %s", (int)pid, strerror(errno));
}

void pf_end(pid_t pid)
{
    int status;

    kill(pid, SIGKILL);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    forget(pid);
}

void pf_kill_all(void)
{
    while (n_children > 0)
        pf_end(children[n_children - 1]);
}

/* ---- one run ---- */

/* An unnamed file, rewound, that holds `text`. */
static FILE *scratch(const char *text)
{
    FILE *f = tmpfile();

    if (!f || (text && fputs(text, f) == EOF) || fflush(f) == EOF)
        fail_msg("no temporary file: %s", strerror(errno));
    rewind(f);
    return f;
}

static void take(FILE *f, struct pf_buf *out)
{
    char chunk[4096];
    size_t n;

    rewind(f);
    while ((n = fread(chunk, 1, sizeof chunk, f)) > 0)
        pf_buf_add(out, chunk, n);
    fclose(f);
}

void pf_run(struct pf_run *r, const char *input, const char *const argv[])
{
    FILE *in = scratch(input), *out = scratch(NULL), *err = scratch(NULL);
    pid_t pid = start(argv, fileno(in), fileno(out), fileno(err));

    pf_run_free(r);
    pf_buf_init(&r->out, MAX_OUTPUT);
    pf_buf_init(&r->err, MAX_OUTPUT);
    r->code = pf_wait(pid, RUN_MS, NULL);
    fclose(in);
    take(out, &r->out);
    take(err, &r->err);
}

void pf_run_free(struct pf_run *r)
{
    pf_buf_free(&r->out);
    pf_buf_free(&r->err);
    memset(r, 0, sizeof *r);
}

/* ---- files that others write ---- */

void pf_slurp(const char *path, struct pf_buf *out)
{
    char chunk[4096];
    size_t n;
    FILE *f = fopen(path, "rb");

    pf_buf_free(out);
    pf_buf_init(out, MAX_OUTPUT);
    while (f && (n = fread(chunk, 1, sizeof chunk, f)) > 0)
        pf_buf_add(out, chunk, n);
    if (f)
        fclose(f);
}

int pf_file_says(const char *path, const char *text)
{
    struct pf_buf b;
    int found;

    memset(&b, 0, sizeof b);
    pf_slurp(path, &b);
    found = strstr(pf_buf_str(&b), text) != NULL;
    pf_buf_free(&b);
    return found;
}

void pf_await_text(const char *path, const char *text, int64_t ms)
{
    int64_t end = pf_now_ms() + ms * PF_SLOW;
    struct pf_buf b;

    while (!pf_file_says(path, text)) {
        if (pf_now_ms() > end) {
            memset(&b, 0, sizeof b);
            pf_slurp(path, &b);
            print_error("%s:\n%s\n", path, pf_buf_str(&b));
            pf_buf_free(&b);
            fail_msg("\"%s\" did not come within %lld ms", text,
                     (long long)ms * PF_SLOW);
        }
        pf_nap(NAP_MS);
    }
}

void pf_await_file(const char *path, int64_t ms)
{
    int64_t end = pf_now_ms() + ms * PF_SLOW;
    struct stat sb;

    while (stat(path, &sb) != 0) {
        if (pf_now_ms() > end)
            fail_msg("%s did not appear within %lld ms", path,
                     (long long)ms * PF_SLOW);
        pf_nap(NAP_MS);
    }
}
