#!/bin/sh
# Make or refresh the development environment: venv.sh DIRECTORY
# Every package comes by hash from requirements.lock; nothing else is fetched.
set -eu

venv=${1:?usage: venv.sh DIRECTORY}
python=${PYTHON:-python3}

command -v "$python" >/dev/null || {
    echo "There is no '$python'. On Debian, as root: apt-get install python3 python3-venv" >&2
    exit 1
}
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "'$python' is $("$python" -V); Pointsman needs Python 3.11 or later." >&2
    echo "Name another: make PYTHON=python3.13 ..." >&2
    exit 1
}

# Debian splits venv off from python3: without it there is no ensurepip.
has_ensurepip() { "$python" -c 'import ensurepip, venv' 2>/dev/null; }

if ! [ -x "$venv/bin/pip" ]; then
    if ! has_ensurepip && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
        echo "Installing python$version-venv, without which there are no virtual environments"
        export DEBIAN_FRONTEND=noninteractive
        apt-get update -qq || true
        apt-get install -y -qq "python$version-venv" >/dev/null || apt-get install -y -qq python3-venv >/dev/null
    fi
    if has_ensurepip; then
        "$python" -m venv "$venv"
    elif "$python" -m pip --version >/dev/null 2>&1; then
        # No ensurepip, but a pip beside it that can fill an environment from outside.
        "$python" -m venv --without-pip "$venv"
        "$python" -m pip --python "$venv/bin/python" install --quiet --no-deps --require-hashes \
            --requirement requirements.lock
    else
        echo "'$python' cannot make virtual environments. As root:" >&2
        echo "    apt-get install python3-venv" >&2
        exit 1
    fi
fi

"$venv/bin/python" -m pip install --quiet --no-deps --require-hashes --requirement requirements.lock
"$venv/bin/python" -m pip install --quiet --no-deps --no-build-isolation --editable .
