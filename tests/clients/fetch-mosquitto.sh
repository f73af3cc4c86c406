#!/bin/sh
# Fetches the Mosquitto broker of this distribution and unpacks it under target/mosquitto.
#
# The package is never installed: installing it starts a service that takes port 1883.
# Its libraries that this machine lacks are fetched and unpacked beside it. Prints, as its
# last line on stdout, the path of a script that runs the broker; what it does goes to stderr.
#
# usage: fetch-mosquitto.sh [DIRECTORY]      (default: target/mosquitto of the repository)
set -eu

repository=$(cd "$(dirname "$0")/../.." && pwd)
directory=${1:-$repository/target/mosquitto}
mkdir -p "$directory/packages"
directory=$(cd "$directory" && pwd)
wrapper=$directory/run-mosquitto
binary=$directory/usr/sbin/mosquitto
libraries=$directory/usr/lib/$(uname -m)-linux-gnu

say() { echo "fetch-mosquitto: $*" >&2; }

# Downloads one package (no root needed) and unpacks it; nothing of it is run or configured.
fetch() {
    say "fetching and unpacking $1 (not installing it): $2"
    rm -f "$directory/packages/$1"_*.deb
    (cd "$directory/packages" && apt-get download -qq "$1" >&2) || {
        say "cannot fetch $1: run 'apt-get update' and try again"
        exit 1
    }
    dpkg -x "$directory/packages/$1"_*.deb "$directory"
}

missing_libraries() {
    LD_LIBRARY_PATH=$libraries ldd "$binary" | awk '/not found/ { print $1 }'
}

# Debian's name for the package of a library: libdlt.so.2 is in libdlt2, libfoo1.so.2 in libfoo1-2.
package_of() {
    echo "$1" | sed -e 's/\([0-9]\)\.so\./\1-/' -e 's/\.so\.//'
}

if ! [ -x "$binary" ]; then
    fetch mosquitto "the broker to compare with and to measure against"
fi
for library in $(missing_libraries); do
    fetch "$(package_of "$library")" "mosquitto needs $library"
done
still_missing=$(missing_libraries)
if [ -n "$still_missing" ]; then
    say "mosquitto still lacks: $still_missing"
    exit 1
fi

cat > "$wrapper.new" <<WRAPPER
#!/bin/sh
LD_LIBRARY_PATH='$libraries' exec '$binary' "\$@"
WRAPPER
chmod +x "$wrapper.new"
mv "$wrapper.new" "$wrapper"

# The settings the scenarios and the benches run with: no limit of Mosquitto's own in the way
# (packets are unlimited by default), and nothing held back to fill a segment. The caller appends
# the line "listener PORT 127.0.0.1".
cat > "$directory/mosquitto.conf.base" <<CONFIGURATION
allow_anonymous true
max_inflight_messages 1000
max_queued_messages 0
set_tcp_nodelay true
CONFIGURATION
echo "$wrapper"
