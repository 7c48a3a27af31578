#!/bin/sh
# See to it that PostgreSQL is there for the tests: install it where we may, say so where not.
# Never fails: what needs it is skipped, and named, by the tests themselves.
set -u
. "$(dirname "$0")/apt.sh"

# Debian keeps the server's programs where no shell looks.
present() {
    command -v initdb >/dev/null && command -v postgres >/dev/null && return
    for program in /usr/lib/postgresql/*/bin/initdb; do
        [ -x "$program" ] && return
    done
    return 1
}

present && exit 0

apt_install "PostgreSQL for the tests" postgresql &&
    systemctl disable --now postgresql >/dev/null 2>&1

present && exit 0
cat >&2 <<'NOTICE'

  *****************************************************************************
  *  POSTGRESQL IS MISSING and could not be installed. LEFT OUT are:          *
  *    - all tests marked "postgresql" (each shows up as SKIPPED below),       *
  *    - the [postgresql] half of the tests that run on both databases.        *
  *  To run them, as root:  apt-get install postgresql                         *
  *****************************************************************************

NOTICE
exit 0
