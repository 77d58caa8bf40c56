/*
 * A disk in memory in place of the kernel's (it defines all of os/file.h), that can lose power.
 *
 * What was not synced may be lost in a power cut: of each file any of its unsynced writes, down to
 * single sectors of them; of each directory any number of its last changes.  A kill loses nothing.
 */
#ifndef ACRE_NODE_TEST_MEMDISK_H
#define ACRE_NODE_TEST_MEMDISK_H

#include <stdbool.h>
#include <stdint.h>

/* Empties the disk and forgets faults.  seed decides what a power cut loses. */
void memdisk_reset(uint64_t seed);
/* Everything that changes the disk is an operation; after `count` more of them the disk is dead:
 * the next one happens in part, and it and all further calls fail with ERR_IO.  0 = never. */
void memdisk_die_after(uint64_t count);
uint64_t memdisk_operations(void); /* since reset */
bool memdisk_dead(void);
/* Back alive, with what survives: a power cut, or only the death of the process. */
void memdisk_restart(bool power_cut);
/* Bytes by which files can still grow; UINT64_MAX = any number. */
void memdisk_set_free(uint64_t bytes);
/* Turns the bits of one byte of a file; false when there is no such byte. */
bool memdisk_damage(const char *path, uint64_t offset);
/* Every sync takes so long, as on a hard disk. */
void memdisk_slow_sync(int64_t ns);
uint64_t memdisk_syncs(void);
uint64_t memdisk_reads(void);

#endif
