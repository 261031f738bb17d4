/* denormal.h - results too small for a normal float become zero while we
 * compute: where units die, Adam's moments shrink past that border, and a
 * processor takes a hundred times as long for such a number.
 *
 * The caller's mode comes back by pf_denormals_restore; both act on the calling
 * thread.  Elsewhere than on x86-64 and ARM nothing is changed.
 */
#ifndef PF_DENORMAL_H
#define PF_DENORMAL_H

#include <stdint.h>
#if defined __x86_64__
#include <xmmintrin.h>
#endif

static inline uint64_t pf_denormals_flush(void)
{
    uint64_t mode = 0;
#if defined __x86_64__
    mode = _mm_getcsr();
    _mm_setcsr((unsigned)mode | 0x8040u); /* FTZ, DAZ */
#elif defined __aarch64__
    __asm__ volatile("mrs %0, fpcr" : "=r"(mode));
    __asm__ volatile("msr fpcr, %0" : : "r"(mode | 1u << 24)); /* FZ */
#endif
    return mode;
}

static inline void pf_denormals_restore(uint64_t mode)
{
#if defined __x86_64__
    _mm_setcsr((unsigned)mode);
#elif defined __aarch64__
    __asm__ volatile("msr fpcr, %0" : : "r"(mode));
#else
    (void)mode;
#endif
}

#endif
