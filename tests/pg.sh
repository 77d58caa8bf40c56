#!/bin/sh
# with-postgres CMD...: starts a throw-away PostgreSQL cluster on a socket in a temporary directory,
# runs CMD with ACRE_TEST_POSTGRES=<url> (and ACRE_TEST_POSTGRES_RESTART=<command that restarts it),
# stops it, and exits as CMD did.  Exit status 77 (skipped) when PostgreSQL is not installed.
set -eu

if [ "${1:-}" != with-postgres ] || [ $# -lt 2 ]; then
	echo "usage: $0 with-postgres CMD..." >&2
	exit 2
fi
shift

bin=
for d in $(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V); do
	[ -x "$d/pg_ctl" ] && [ -x "$d/initdb" ] && bin=$d
done
if [ -z "$bin" ] && command -v pg_ctl >/dev/null && command -v initdb >/dev/null; then
	bin=$(dirname "$(command -v pg_ctl)")
fi
if [ -z "$bin" ]; then
	echo "SKIPPED: PostgreSQL is not installed (apt install postgresql): $*" >&2
	exit 77
fi

dir=$(mktemp -d /tmp/acre-pg.XXXXXX)
# The server refuses to run as root.
if [ "$(id -u)" = 0 ]; then
	user=postgres
	id "$user" >/dev/null 2>&1 || user=nobody
	chown "$user" "$dir"
	as="setpriv --reuid=$user --regid=$(id -g "$user") --clear-groups env -u XDG_RUNTIME_DIR HOME=$dir"
else
	as="env HOME=$dir"
fi
chmod 700 "$dir"

stop() {
	$as "$bin/pg_ctl" -D "$dir/data" -m immediate -w stop >/dev/null 2>&1 || true
	rm -rf "$dir" "$dir.initdb.log"
}
trap stop EXIT
trap 'exit 130' INT TERM

cd "$dir"
$as "$bin/initdb" -D "$dir/data" -U acre -A trust -E UTF8 --no-sync >"$dir.initdb.log" 2>&1 || {
	cat "$dir.initdb.log" >&2
	exit 1
}
# fsync stays on only where a test asks for it: the cluster dies with the test.
cat >>"$dir/data/postgresql.conf" <<CONF
listen_addresses = ''
unix_socket_directories = '$dir'
fsync = off
max_connections = 100
log_min_messages = fatal
CONF
$as "$bin/pg_ctl" -D "$dir/data" -l "$dir/server.log" -w -t 60 start >/dev/null || {
	cat "$dir/server.log" >&2
	exit 1
}
$as "$bin/createdb" -h "$dir" -U acre acre
# Others than the server's user connect, too.
chmod 711 "$dir"

ACRE_TEST_POSTGRES="postgres://acre@/acre?host=$dir"
ACRE_TEST_POSTGRES_RESTART="$as $bin/pg_ctl -D $dir/data -l $dir/server.log -m fast -w -t 60 restart"
ACRE_TEST_POSTGRES_STOP="$as $bin/pg_ctl -D $dir/data -m fast -w -t 60 stop"
ACRE_TEST_POSTGRES_START="$as $bin/pg_ctl -D $dir/data -l $dir/server.log -w -t 60 start"
export ACRE_TEST_POSTGRES ACRE_TEST_POSTGRES_RESTART ACRE_TEST_POSTGRES_STOP ACRE_TEST_POSTGRES_START
cd "$OLDPWD"
status=0
# The command of a cross build is for another machine.
${MESON_EXE_WRAPPER:-} "$@" || status=$?
exit $status
