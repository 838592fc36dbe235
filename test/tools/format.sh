#!/bin/bash
# Formats all C++ files in place.
set -euo pipefail
cd "$(dirname "$0")/../.."
find src test bench \( -name '*.cpp' -o -name '*.hpp' \) -exec clang-format -i {} +
