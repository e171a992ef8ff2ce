#ifndef ABI_DUMP_H
#define ABI_DUMP_H

#include <stddef.h>
#include <stdio.h>

#define STRUCT(name, type) printf("size %s %zu\n", name, sizeof(type))
#define FIELD(name, type, field) printf("offset %s %zu\n", name, offsetof(type, field))
#define CONST(name, value) printf("const %s %llu\n", name, (unsigned long long)(value))
#define ABSENT(name) printf("absent %s\n", name)

void dump_structures(void);
void dump_fuse_structures(void);
void dump_fuse_constants(void);
void dump_block_constants(void);
void dump_system_constants(void);
void dump_netlink(void);
void dump_ring_and_ublk(void);

#endif
