// Tries to reach what is not given to a build, and says of each thing whether it was reached: `read: reached`.
// Called with pairs of words: a kind, and what it is tried on.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static int read_file(const char * path) {
    char byte;
    int file = open(path, O_RDONLY);
    return file >= 0 && read(file, &byte, 1) == 1;
}

static int write_file(const char * path) {
    int file = open(path, O_WRONLY | O_CREAT | O_APPEND, 0644);
    return file >= 0 && write(file, "x", 1) == 1;
}

static int list(const char * path) {
    return opendir(path) != NULL;
}

static int reach_unix(const char * path, int is_abstract) {
    struct sockaddr_un place = { .sun_family = AF_UNIX };
    strncpy(place.sun_path + is_abstract, path, sizeof place.sun_path - 2);
    int door = socket(AF_UNIX, SOCK_STREAM, 0);
    socklen_t length = offsetof(struct sockaddr_un, sun_path) + is_abstract + strlen(path);
    return door >= 0 && connect(door, (struct sockaddr *) &place, length) == 0;
}

static int reach_port(const char * port, int kind) {
    struct sockaddr_in place = { .sin_family = AF_INET, .sin_port = htons(atoi(port)) };
    place.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int door = socket(AF_INET, kind, 0);
    return door >= 0 && connect(door, (struct sockaddr *) &place, sizeof place) == 0 && send(door, "x", 1, 0) == 1;
}

// whether any process has this text in its environment
static int find_in_proc(const char * text) {
    DIR * folder = opendir("/proc");
    struct dirent * entry;
    while (folder && (entry = readdir(folder))) {
        char path[300];
        static char data[1 << 16];
        snprintf(path, sizeof path, "/proc/%s/environ", entry->d_name);
        int file = open(path, O_RDONLY);
        ssize_t count = file < 0 ? 0 : read(file, data, sizeof data);
        if (file >= 0) close(file);
        if (count > 0 && memmem(data, count, text, strlen(text))) return 1;
    }
    return 0;
}

int main(int argc, char ** argv) {
    for (int i = 1; i + 1 < argc; i += 2) {
        const char * kind = argv[i];
        const char * what = argv[i + 1];
        int is_reached = -1;
        if (!strcmp(kind, "read")) is_reached = read_file(what);
        if (!strcmp(kind, "write")) is_reached = write_file(what);
        if (!strcmp(kind, "list")) is_reached = list(what);
        if (!strcmp(kind, "unix")) is_reached = reach_unix(what, 0);
        if (!strcmp(kind, "abstract")) is_reached = reach_unix(what, 1);
        if (!strcmp(kind, "tcp")) is_reached = reach_port(what, SOCK_STREAM);
        if (!strcmp(kind, "udp")) is_reached = reach_port(what, SOCK_DGRAM);
        if (!strcmp(kind, "environ")) is_reached = find_in_proc(what);
        if (!strcmp(kind, "signal")) is_reached = kill(atoi(what), 0) == 0;
        printf("%s: %s\n", kind, is_reached < 0 ? "unknown" : is_reached ? "reached" : "out of reach");
    }
    return 0;
}
