/* What the kernel can do: a barrier and a ping-pong of forked processes on a bare futex.
 *
 *     futex barrier SIZE COUNT SPINS      COUNT barriers of SIZE processes
 *     futex pingpong COUNT                COUNT times there and back, two processes
 *
 * Prints the seconds from the first to begin to the last to end.  The barrier counts: the
 * last one steps the phase and wakes all; the others look SPINS times, and then sleep.
 * It survives nothing: no death, no signal, no time-out.
 */
#define _GNU_SOURCE
#include <limits.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MOST 64

static struct {
    _Alignas(64) uint32_t arrived;
    _Alignas(64) uint32_t phase;
    _Alignas(64) uint32_t sleepers;
    _Alignas(64) uint32_t turn;
    int64_t began[MOST], ended[MOST];
} *shared;
static uint32_t size;
static int spins;

static uint32_t load(const uint32_t *word) { return __atomic_load_n(word, __ATOMIC_SEQ_CST); }

static void sleep_while(uint32_t *word, uint32_t value) {
    while (load(word) == value) syscall(SYS_futex, word, FUTEX_WAIT, value, NULL, NULL, 0);
}

static void wake(uint32_t *word) { syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0); }

static void barrier(void) {
    uint32_t phase = load(&shared->phase);
    if (__atomic_add_fetch(&shared->arrived, 1, __ATOMIC_SEQ_CST) == size) {
        shared->arrived = 0; /* before anybody is let go */
        __atomic_store_n(&shared->phase, phase + 1, __ATOMIC_SEQ_CST);
        if (__atomic_exchange_n(&shared->sleepers, 0, __ATOMIC_SEQ_CST)) wake(&shared->phase);
        return;
    }
    for (int turn = 0; turn < spins; turn++) {
        if (load(&shared->phase) != phase) return;
#if defined(__x86_64__)
        __builtin_ia32_pause();
#endif
    }
    __atomic_store_n(&shared->sleepers, 1, __ATOMIC_SEQ_CST);
    sleep_while(&shared->phase, phase);
}

static void meet(uint32_t me, int count) {
    (void)me;
    while (count--) barrier();
}

static void play(uint32_t me, int count) {
    for (uint32_t turn = 0; turn < 2 * (uint32_t)count; turn++) {
        if (turn % 2 != me) {
            sleep_while(&shared->turn, turn);
        } else {
            __atomic_store_n(&shared->turn, turn + 1, __ATOMIC_SEQ_CST);
            wake(&shared->turn);
        }
    }
}

static int64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

static double run(void (*loop)(uint32_t, int), int count) {
    for (uint32_t me = 0; me < size; me++) {
        pid_t child = fork();
        if (child < 0) exit(1);
        if (child == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL); /* nobody waits for who was never started */
            barrier();
            shared->began[me] = now();
            loop(me, count);
            shared->ended[me] = now();
            _exit(0);
        }
    }
    while (wait(NULL) > 0) continue;
    int64_t first = INT64_MAX, last = 0;
    for (uint32_t me = 0; me < size; me++) {
        if (shared->began[me] < first) first = shared->began[me];
        if (shared->ended[me] > last) last = shared->ended[me];
    }
    return (last - first) / 1e9;
}

int main(int argc, char **argv) {
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) return 1;
    if (argc == 5 && strcmp(argv[1], "barrier") == 0) {
        size = atoi(argv[2]), spins = atoi(argv[4]);
        if (size < 1 || size > MOST) return 2;
        printf("%.9f\n", run(meet, atoi(argv[3])));
    } else if (argc == 3 && strcmp(argv[1], "pingpong") == 0) {
        size = 2;
        printf("%.9f\n", run(play, atoi(argv[2])));
    } else {
        return 2;
    }
    return 0;
}
