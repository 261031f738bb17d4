/* train_steps MODEL BATCH STEPS: trains, so that its instructions can be
 * counted; prints the loss and the digest of the parameters. */
#include <stdio.h>
#include <stdlib.h>

#include "training.h"

int main(int argc, char **argv)
{
    char digest[65];
    double loss;

    if (argc != 4) {
        fprintf(stderr, "Usage: train_steps MODEL BATCH STEPS\n");
        return 2;
    }
    loss = pf_training_run(argv[1], (uint32_t)strtoul(argv[2], NULL, 10),
                           (size_t)strtoul(argv[3], NULL, 10), digest);
    printf("loss %.4f, parameters %s\n", loss, digest);
    return 0;
}
