/* training.h - a short training that is the same everywhere: seeded weights
 * and images, no file.
 */
#ifndef PF_TRAINING_H
#define PF_TRAINING_H

#include <stddef.h>
#include <stdint.h>

/* So many batches of a zoo model with the kernels of this process: SGD, or Adam
 * for lenet-coreml. digest = the SHA-256 of the parameters in hexadecimal.
 * Returns the loss of the last batches. Stops the program when it fails. */
double pf_training_run(const char *model, uint32_t batch, size_t steps,
                       char digest[65]);

#endif
