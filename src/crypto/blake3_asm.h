/* What the BLAKE3 implementations in assembler share: System V calling convention, no stack used.
 */
#include "crypto/blake3_kernel.h"

/* clang-format off */

/* With -fcf-protection this marks the file as fit for it and defines _CET_ENDBR. */
#ifdef __CET__
#include <cet.h>
#else
#define _CET_ENDBR endbr64
#endif

#define BLAKE3_PASTE(a, b) BLAKE3_PASTE_(a, b)
#define BLAKE3_PASTE_(a, b) a##b

#define BLAKE3_FUNCTION(name)                                                                      \
	.text;                                                                                     \
	.p2align 6;                                                                                \
	.globl name;                                                                               \
	.hidden name;                                                                              \
	.type name, @function;                                                                     \
	name:                                                                                      \
	.cfi_startproc;                                                                            \
	_CET_ENDBR;

#define BLAKE3_FUNCTION_END(name)                                                                  \
	.cfi_endproc;                                                                              \
	.size name, . - name

/* eax becomes the flags of the block that begins at `offset` of `length` bytes; uses r9d. */
#define BLAKE3_BLOCK_FLAGS(offset, length, job)                                                    \
	xor r9d, r9d;                                                                              \
	mov eax, [job + BLAKE3_JOB_FLAGS];                                                         \
	test offset, offset;                                                                       \
	cmovz r9d, [job + BLAKE3_JOB_FLAGS_START];                                                 \
	or eax, r9d;                                                                               \
	lea r10, [offset + 64];                                                                    \
	xor r9d, r9d;                                                                              \
	cmp r10, length;                                                                           \
	cmove r9d, [job + BLAKE3_JOB_FLAGS_END];                                                   \
	or eax, r9d;

	.intel_syntax noprefix
	.section .note.GNU-stack, "", @progbits
	.section .rodata
	.p2align 6
/* The first half of the IV, and the length of a block. */
blake3_asm_constants:
	.long 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 64
