# To be read by the scripts beside it.

# Install packages of Debian if we may: apt_install WHAT PACKAGE...
# Fails where we may not, or where apt does.
apt_install() {
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || return 1
    echo "Installing $1"
    shift
    export DEBIAN_FRONTEND=noninteractive
    # Debian starts what it installs. The tests start servers of their own, on ports and sockets
    # of their own: no service shall hold a port because of us.
    policy=/usr/sbin/policy-rc.d
    if ! [ -e $policy ]; then
        printf '#!/bin/sh\nexit 101\n' >$policy
        chmod 755 $policy
        trap 'rm -f $policy' EXIT
        trap 'exit 130' INT TERM
    fi
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}
