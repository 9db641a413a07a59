#!/bin/sh
# What the browser tests need beside Python: Debian's chromium, an Ethiopic font, and axe-core for the check of
# accessibility. Installs what is missing where that is possible, says what stays missing, and never fails:
# the tests that need it are skipped with that reason.
cd "$(dirname "$0")/.." || exit 0

if ! command -v chromium >/dev/null 2>&1 || ! fc-list 2>/dev/null | grep -q -i abyssinica; then
    if command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
        apt-get update -q && DEBIAN_FRONTEND=noninteractive \
            apt-get install -q -y --no-install-recommends chromium fonts-sil-abyssinica fontconfig
    else
        echo "no chromium or no Ethiopic font: as root, apt-get install chromium fonts-sil-abyssinica" >&2
    fi
fi

axe=.venv/axe/node_modules/axe-core/axe.min.js
if [ ! -f "$axe" ]; then
    if command -v npm >/dev/null 2>&1; then
        npm install --silent --no-fund --no-audit --ignore-scripts --prefix .venv/axe axe-core@4.14.1
    else
        echo "no npm: the check of accessibility by axe-core is skipped" >&2
    fi
fi
exit 0
