/* real.h - the number type of training: float in every program that ships.
 *
 * The same sources compiled with -DPF_REAL_DOUBLE make the double build, which
 * exists so that tests can check gradients by finite differences and against
 * PyTorch in double.  The two builds never meet in one program.
 */
#ifndef PF_REAL_H
#define PF_REAL_H

#ifdef PF_REAL_DOUBLE
typedef double pf_real;
#else
typedef float pf_real;
#endif

#endif
