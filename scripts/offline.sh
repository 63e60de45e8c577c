#!/bin/sh
# For a host without a network, in an unpacked bundle: builds the addon for the libtorch in $LIBTORCH and runs the tests.
#   LIBTORCH=/path/to/torch sh scripts/offline.sh [Jest's arguments]
set -eu
cd "$(dirname "$0")/.."
node=./node/bin/node
"$node" dist/cli/main.js setup
"$node" dist/cli/main.js doctor
exec "$node" --expose-gc --experimental-vm-modules node_modules/jest/bin/jest.js --config scripts/jest.bundle.mjs "$@"
