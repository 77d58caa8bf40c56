/* Functions nobody calls here: each has a bounded or checked sister.  Included on every compile,
 * of assembler files, too, which have nothing to ban. */
#if !defined(ACRE_BASE_BANNED_H) && !defined(__ASSEMBLER__)
#define ACRE_BASE_BANNED_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#undef strcpy
#undef strcat
#undef strncpy
#undef strncat
#define strcpy banned_strcpy_use_buf
#define strcat banned_strcat_use_buf
#define strncpy banned_strncpy_use_snprintf
#define strncat banned_strncat_use_buf
#define sprintf banned_sprintf_use_snprintf
#define vsprintf banned_vsprintf_use_vsnprintf
#define strtok banned_strtok_use_wire
#define atoi banned_atoi_use_text_u64
#define atol banned_atol_use_text_u64
#define gets banned_gets
#define rand banned_rand_use_os_random
#define srand banned_srand_use_os_random

#endif
