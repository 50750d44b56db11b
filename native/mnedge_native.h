#ifndef MNEDGE_NATIVE_H
#define MNEDGE_NATIVE_H

/* What mnedge calls in C. The contract of each function stands in native/README.md.
   cffi reads the declarations below; it skips the preprocessor lines. */

/* Where a start failed: the value of `*stage`. */
enum {
    MN_STAGE_NONE = 0,
    MN_STAGE_CLONE = 1,
    MN_STAGE_FILES = 2,
    MN_STAGE_DIRECTORY = 3,
    MN_STAGE_EXEC = 4
};

/* Start `path` as the leader of a session of its own and return its process id, or -errno.
   `arguments` and `environment` are `count` strings, each ended by a NUL, one after the other. */
int mn_spawn(const char *path,
             const char *arguments, int argument_count,
             const char *environment, int environment_count,
             const char *directory,
             int standard_input, int standard_output, int standard_error,
             int death_signal, int *stage);

/* Orphans of our descendants become our children instead of init's. Returns 0 or -errno. */
int mn_become_subreaper(void);

#endif
