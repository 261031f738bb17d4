/* fmath.h - the elementary functions, our own, so that bits do not depend on
 * the C library.  Double precision, error under 2 ulp over the stated range;
 * sqrt is the processor's and correctly rounded.
 */
#ifndef PF_FMATH_H
#define PF_FMATH_H

double pf_exp(double x);  /* any x; 0 and +inf at the ends; NaN stays NaN */
double pf_ln(double x);   /* natural logarithm: x > 0; -inf at 0; NaN below */
double pf_tanh(double x); /* any x */
/* x > 0; as exp(y log x), with an error of about |y log x| ulp. */
double pf_pow(double x, double y);
double pf_cos(double x); /* |x| <= 1e6 */

#endif
