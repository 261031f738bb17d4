/* The least that an app does: open a folder, ask where it stands, be told that
 * a join link is damaged, close. */
#include <pocketfed/client.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
    struct pocketfed_options options = {.size = sizeof options};
    struct pocketfed_env env = {.size = sizeof env};
    struct pocketfed_status_report report = {.size = sizeof report};
    struct pocketfed_client *client = NULL;
    enum pocketfed_status status;
    char why[200];

    if (argc != 2)
        return 2;
    options.storage = argv[1];
    status = pocketfed_client_open(&options, &env, &client, why, sizeof why);
    if (status) {
        fprintf(stderr, "open: %s: %s\n", pocketfed_status_name(status), why);
        return 1;
    }
    status = pocketfed_client_join(client, "pocketfed://nowhere");
    if (status != POCKETFED_MALFORMED ||
        pocketfed_client_error(client)[0] == '\0')
        return 1;
    status = pocketfed_client_status(client, &report);
    if (status || report.state != POCKETFED_STATE_NEW)
        return 1;
    pocketfed_client_close(client);
    printf("pocketfed %s\n", pocketfed_version());
    return strcmp(pocketfed_version(), "0.1.0") ? 1 : 0;
}
