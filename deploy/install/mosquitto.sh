#!/bin/sh
# See to it that Mosquitto is there for the tests: install it where we may, say so where not.
# Never fails: what needs it is skipped, and named, by the tests themselves.
set -u
PATH=$PATH:/usr/sbin:/sbin
. "$(dirname "$0")/apt.sh"

missing=
for program in mosquitto mosquitto_passwd; do
    command -v $program >/dev/null || missing="$missing $program"
done
[ -n "$missing" ] || exit 0

apt_install "Mosquitto for the tests (missing:$missing)" mosquitto mosquitto-clients &&
    case $missing in
    # The service is new here: it shall not start with the machine either.
    *" mosquitto "* | *" mosquitto") systemctl disable --now mosquitto >/dev/null 2>&1 ;;
    esac

if command -v mosquitto >/dev/null && command -v mosquitto_passwd >/dev/null; then
    exit 0
fi
cat >&2 <<'NOTICE'

  *****************************************************************************
  *  MOSQUITTO IS MISSING and could not be installed. LEFT OUT are:           *
  *    - all tests marked "mosquitto" (each shows up as SKIPPED below),        *
  *    - the [mosquitto] half of the tests that run against both brokers.      *
  *  To run them, as root:  apt-get install mosquitto mosquitto-clients        *
  *****************************************************************************

NOTICE
exit 0
