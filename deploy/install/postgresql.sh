#!/bin/sh
# See to it that PostgreSQL is there for the tests: install it where we may, say so where not.
# Never fails: what needs it is skipped, and named, by the tests themselves.
set -u

# Debian keeps the server's programs where no shell looks.
present() {
    command -v initdb >/dev/null && command -v postgres >/dev/null && return
    for program in /usr/lib/postgresql/*/bin/initdb; do
        [ -x "$program" ] && return
    done
    return 1
}

present && exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "Installing PostgreSQL for the tests"
    export DEBIAN_FRONTEND=noninteractive
    # Debian starts what it installs. The tests start a server of their own, on a socket of
    # their own: no service shall hold port 5432 because of us.
    policy=/usr/sbin/policy-rc.d
    if ! [ -e $policy ]; then
        printf '#!/bin/sh\nexit 101\n' >$policy
        chmod 755 $policy
        trap 'rm -f $policy' EXIT
        trap 'exit 130' INT TERM
    fi
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends postgresql >/dev/null &&
        systemctl disable --now postgresql >/dev/null 2>&1
fi

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
