#!/usr/bin/env bash
# Lints the report's JavaScript and style sheet with Biome and runs their tests with Node. Says what
# it skips. `npm install` in the root of the repository fetches the pinned tools of package.json.
set -eu
cd "$(dirname "$0")/.."
if [ -x node_modules/.bin/biome ]; then
    node_modules/.bin/biome ci --colors=off --error-on-warnings .
else
    echo "skipped: biome is not installed (npm install)"
fi
if command -v node > /dev/null; then
    node --test tests/javascript/*.test.js
else
    echo "skipped: there is no node"
fi
