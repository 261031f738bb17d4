#!/bin/sh
# The committed option lists are what the daemon prints.
#   printed_config.sh POCKETFEDD ROOT
set -eu
out=$(env -i "$1" --print-config)
if [ "$out" != "$(cat "$2/deploy/pocketfedd.ini")" ]; then
    echo "deploy/pocketfedd.ini is not what pocketfedd --print-config prints"
    exit 1
fi
listed=$(sed -n '/^```ini$/,/^```$/p' "$2/docs/CONFIGURATION.md" | sed '1d;$d')
if [ "$out" != "$listed" ]; then
    echo "docs/CONFIGURATION.md does not list what --print-config prints"
    exit 1
fi
