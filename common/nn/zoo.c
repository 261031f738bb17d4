#include "model.h"

#include <string.h>

/* Spec text is data: docs/MODELS.md explains it. Layer names are those that
 * PyTorch users give. Every model ends in ten classes of 28x28 grey images. */

#define HEAD                                                                   \
    "{\"version\":1,\"input\":[1,28,28],"                                      \
    "\"loss\":\"softmax_cross_entropy\",\"layers\":["
#define CONV(name, out, kernel, padding)                                       \
    "{\"name\":\"" name "\",\"type\":\"conv2d\",\"out_channels\":" #out        \
    ",\"kernel\":" #kernel ",\"padding\":" #padding "},"
#define RELU(name)  "{\"name\":\"" name "\",\"type\":\"relu\"},"
#define POOL(name)  "{\"name\":\"" name "\",\"type\":\"maxpool2d\",\"size\":2},"
#define LEAKY(name) "{\"name\":\"" name "\",\"type\":\"leaky_relu\"},"
#define MEAN(name)  "{\"name\":\"" name "\",\"type\":\"avgpool2d\",\"size\":2},"
#define FLATTEN     "{\"name\":\"flatten\",\"type\":\"flatten\"},"
#define DENSE(name, units)                                                     \
    "{\"name\":\"" name "\",\"type\":\"dense\",\"units\":" #units "},"
#define CLASSES(name)                                                          \
    "{\"name\":\"" name "\",\"type\":\"dense\",\"units\":10,"                  \
    "\"init\":\"glorot_uniform\"}]}"

static const char *const names[] = {
    "lenet5", "lenet-caffe", "lenet-coreml",       "cnn-mcmahan",
    "mlp",    "logreg",      "lenet-coreml-leaky", NULL};

/* In the order of names. */
static const char *const specs[] = {
    /* LeNet-5 (LeCun et al. 1998) as it is taught today; 61,706 parameters */
    HEAD CONV("conv1", 6, 5, 2) RELU("relu1") POOL("pool1")
        CONV("conv2", 16, 5, 0) RELU("relu2") POOL("pool2")
            FLATTEN DENSE("fc1", 120) RELU("relu3") DENSE("fc2", 84)
                RELU("relu4") CLASSES("fc3"),
    /* the LeNet of Caffe's MNIST example; 431,080 */
    HEAD CONV("conv1", 20, 5, 0) POOL("pool1") CONV("conv2", 50, 5, 0)
        POOL("pool2") FLATTEN DENSE("fc1", 500) RELU("relu1") CLASSES("fc2"),
    /* the updatable MNIST network of Core ML samples; 585,958 */
    HEAD CONV("conv1", 32, 3, 0) RELU("relu1") POOL("pool1")
        CONV("conv2", 32, 2, 0) RELU("relu2") POOL("pool2")
            FLATTEN DENSE("fc1", 500) RELU("relu3") CLASSES("fc2"),
    /* the CNN of McMahan et al. 2017 (FedAvg); 1,663,370 */
    HEAD CONV("conv1", 32, 5, 2) RELU("relu1") POOL("pool1")
        CONV("conv2", 64, 5, 2) RELU("relu2") POOL("pool2")
            FLATTEN DENSE("fc1", 512) RELU("relu3") CLASSES("fc2"),
    /* the 2NN of the same paper; 199,210 */
    HEAD FLATTEN DENSE("fc1", 200) RELU("relu1") DENSE("fc2", 200) RELU("relu2")
        CLASSES("fc3"),
    /* multinomial logistic regression; 7,850 */
    HEAD FLATTEN CLASSES("fc1"),
    /* lenet-coreml where no value is ever skipped; 585,958 */
    HEAD CONV("conv1", 32, 3, 0) LEAKY("leaky1") MEAN("pool1")
        CONV("conv2", 32, 2, 0) LEAKY("leaky2") MEAN("pool2")
            FLATTEN DENSE("fc1", 500) LEAKY("leaky3") CLASSES("fc2"),
};

const char *const *pf_zoo_names(void)
{
    return names;
}

const char *pf_zoo_spec(const char *name)
{
    for (size_t i = 0; names[i]; i++)
        if (strcmp(names[i], name) == 0)
            return specs[i];
    return NULL;
}
