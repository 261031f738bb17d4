/* kernels.h - the list of compute kernels and the table that a model runs on.
 *
 * One X-macro list declares every kernel; each instruction set fills one
 * struct pf_kernels; pf_kernels_get() chooses once by CPU features (or
 * POCKETFED_KERNELS).  Every row is compared with `reference` by a test that
 * walks this list.
 */
