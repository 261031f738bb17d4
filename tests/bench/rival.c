#include "rival.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "proc.h"
#include "say.h"

#define NGINX "/usr/sbin/nginx"
#define ECHO  "/usr/lib/nginx/modules/ngx_http_echo_module.so"

/* The workers' buffer holds the largest body; sendfile and the open file cache
 * are what nginx is best at. */
static const char config[] = "load_module " ECHO ";\n"
                             "daemon off;\n"
                             "user root;\n"
                             "worker_processes auto;\n"
                             "pid %s/nginx.pid;\n"
                             "error_log %s/nginx.log warn;\n"
                             "events { worker_connections 4096; }\n"
                             "http {\n"
                             "  access_log off;\n"
                             "  client_body_temp_path %s/body;\n"
                             "  proxy_temp_path %s/proxy;\n"
                             "  fastcgi_temp_path %s/fastcgi;\n"
                             "  uwsgi_temp_path %s/uwsgi;\n"
                             "  scgi_temp_path %s/scgi;\n"
                             "  client_max_body_size 0;\n"
                             "  client_body_buffer_size 8m;\n"
                             "  keepalive_requests 1000000;\n"
                             "  keepalive_timeout 3600s;\n"
                             "  sendfile on;\n"
                             "  open_file_cache max=16;\n"
                             "  server {\n"
                             "    listen 127.0.0.1:%u ssl reuseport;\n"
                             "    ssl_certificate %s/keys/tls.crt;\n"
                             "    ssl_certificate_key %s/keys/tls.key;\n"
                             "    ssl_protocols TLSv1.3;\n"
                             "    location / {\n"
                             "      echo_read_request_body;\n"
                             "      echo_status 201;\n"
                             "      echo read;\n"
                             "    }\n"
                             "    location = /model { root %s; }\n"
                             "  }\n"
                             "}\n";

static uint16_t free_port(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET};
    socklen_t len = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof a) != 0 ||
        getsockname(fd, (struct sockaddr *)&a, &len) != 0)
        die("no free port: %s", strerror(errno));
    close(fd);
    return ntohs(a.sin_port);
}

static int answers(uint16_t port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), ok;

    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ok = connect(fd, (struct sockaddr *)&a, sizeof a) == 0;
    close(fd);
    return ok;
}

void rival_start(struct rival *r, const char *dir, const char *state)
{
    char file[200], log[200];
    const char *d = dir;
    unsigned tries = 0;
    FILE *f;

    if (access(NGINX, X_OK) != 0 || access(ECHO, R_OK) != 0)
        die("nginx is missing: apt-get install nginx-light "
            "libnginx-mod-http-echo");
    memset(r, 0, sizeof *r);
    snprintf(r->dir, sizeof r->dir, "%s", dir);
    snprintf(file, sizeof file, "%s/nginx.conf", dir);
    snprintf(log, sizeof log, "%s/nginx.out", dir);
    r->port = free_port();
    f = fopen(file, "w");
    if (!f)
        die("cannot write %s", file);
    fprintf(f, config, d, d, d, d, d, d, d, r->port, state, state, d);
    fclose(f);
    r->pid = pf_spawn((const char *const[]){NGINX, "-p", dir, "-c", file, NULL},
                      log);
    while (!answers(r->port)) {
        if (!pf_alive(r->pid) || tries++ > 1000)
            die("nginx did not start, see %s and nginx.log there", log);
        pf_nap(10);
    }
}

void rival_stop(struct rival *r)
{
    if (r->pid == 0)
        return;
    pf_signal(r->pid, SIGTERM); /* its workers end with it */
    pf_wait(r->pid, 10000, NULL);
    r->pid = 0;
}

static double own_cpu(pid_t pid)
{
    struct timespec t = {0};
    clockid_t clock;

    if (clock_getcpuclockid(pid, &clock) == 0)
        clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static pid_t parent_of(pid_t pid)
{
    char path[64], line[512] = "";
    const char *after;
    int parent = 0;
    FILE *f;

    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    f = fopen(path, "r");
    if (!f)
        return 0;
    if (fgets(line, sizeof line, f) && (after = strrchr(line, ')')) != NULL)
        (void)sscanf(after, ") %*c %d", &parent);
    fclose(f);
    return parent;
}

double cpu_of(pid_t pid)
{
    double sum = own_cpu(pid);
    struct dirent *e;
    DIR *d = opendir("/proc");
    pid_t p;

    while (d && (e = readdir(d)) != NULL) {
        p = (pid_t)strtol(e->d_name, NULL, 10);
        if (p > 0 && parent_of(p) == pid)
            sum += own_cpu(p);
    }
    if (d)
        closedir(d);
    return sum;
}
