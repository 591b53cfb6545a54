#!/usr/bin/env bash
# Checks scripts/systemd: the units verify, ExecStart runs as written without an environment, cron runs the crontab line.
#
#     tests/nightly_units.sh [BINARY]
#
# Everything happens in a mount namespace of its own, where /srv, /usr/local/bin, the users and the crontabs are others;
# the machine stays as it is. Needs root, systemd-analyze and Debian's cron; what is missing skips its check with one
# printed line. cron starts jobs at full minutes, so this takes up to one. Closes with `N passed, M failed`.
set -euo pipefail
repository="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
units="$repository/scripts/systemd"
passed=0
failed=0

skip() { printf 'skipped: %s\n' "$*" >&2; }

# Counts the check named $1, whose other words are its command.
check() {
    local name="$1"
    shift
    if "$@"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        printf 'FAILED  %s\n' "$name" >&2
    fi
}

have() { command -v "$1" >/dev/null 2>&1; }

# --- outside: find the binary, enter the namespace ---------------------------------------------------------------------

if [ "${1:-}" != --inside ]; then
    binary="$(realpath "${1:-${CARGO_TARGET_DIR:-$repository/target}/release/labelmill}")"
    [ -x "$binary" ] || { printf '%s: there is no %s\n' "$(basename "$0")" "$binary" >&2; exit 1; }
    work="$(mktemp -d)"
    trap 'rm -rf "$work"' EXIT
    install -m 755 "$binary" "$work/labelmill"
    namespace=(unshare --mount --propagation private)
    if [ "$(id -u)" != 0 ] || ! "${namespace[@]}" mount -t tmpfs tmpfs /srv 2>/dev/null; then
        skip "the systemd units and the crontab (only root may make a mount namespace here)"
        printf '0 passed, 0 failed\n'
        exit 0
    fi
    "${namespace[@]}" "$0" --inside "$work"
    exit
fi

# --- inside ------------------------------------------------------------------------------------------------------------

work="$2"
out=/srv/labels/pictures
chmod 755 "$work"

# A user of the units' name, known to nobody else.
add_user() {
    local file
    for file in passwd group shadow; do cp "/etc/$file" "$work/$file"; done
    grep -q '^labelmill:' "$work/passwd" || {
        echo 'labelmill:x:64999:64999::/srv/labels:/usr/sbin/nologin' >>"$work/passwd"
        echo 'labelmill:x:64999:' >>"$work/group"
        echo 'labelmill:*:19000:0:99999:7:::' >>"$work/shadow"
    }
    for file in passwd group shadow; do mount --bind "$work/$file" "/etc/$file"; done
}

# What labelmill.service says is to be installed, in places of our own.
install_as_told() {
    mount -t tmpfs -o mode=755 tmpfs /srv
    mount -t tmpfs -o mode=755 tmpfs /usr/local/bin
    install -m 755 "$work/labelmill" /usr/local/bin/labelmill
    add_user
    mkdir /srv/pictures
    cp "$repository"/tests/fixtures/samples/generated/* /srv/pictures/
    install -d -o labelmill -g labelmill /srv/labels
}

units_verify() {
    local said
    cp "$units/labelmill.service" "$units/labelmill.timer" "$work/"
    said="$(systemd-analyze verify --man=no "$work/labelmill.service" "$work/labelmill.timer" 2>&1)" || {
        printf '%s\n' "$said" >&2
        return 1
    }
    # Other units of the machine are not ours to judge.
    if grep -F labelmill <<<"$said" >&2; then return 1; fi
}

# The rows of the dataset; empties it for the next check.
must_have_labeled() {
    local summary="$out/_labelmill/run-summary.json"
    grep -q '"complete": true' "$summary" && grep -q '"found": 10' "$summary" && ls "$out"/part-*.parquet >/dev/null &&
        rm -rf "$out"
}

exec_start_runs() {
    local line
    line="$(sed -n 's/^ExecStart=//p' "$units/labelmill.service")"
    # Words as systemd splits them: the line has neither quotes nor variables.
    # shellcheck disable=SC2086
    (cd / && env -i setpriv --reuid labelmill --regid labelmill --clear-groups $line 2>"$work/exec.log") || {
        cat "$work/exec.log" >&2
        return 1
    }
    must_have_labeled
}

exec_start_without_pictures_fails() {
    local line status=0
    line="$(sed -n 's/^ExecStart=//p' "$units/labelmill.service")"
    mount -t tmpfs tmpfs /srv/pictures
    # shellcheck disable=SC2086
    env -i $line 2>"$work/exec.log" || status=$?
    umount /srv/pictures
    rm -rf "$out"
    [ "$status" = 1 ] && grep -q mounted "$work/exec.log"
}

# cron runs the line as it stands, but every minute.
cron_runs_the_line() {
    local waited=0
    mount -t tmpfs -o mode=755 tmpfs /etc/cron.d
    mount -t tmpfs -o mode=755 tmpfs /var/spool/cron
    mount -t tmpfs -o mode=755 tmpfs /run
    mkdir /var/spool/cron/crontabs
    : >"$work/crontab"
    mount --bind "$work/crontab" /etc/crontab
    sed 's/^30 2 \* \* \*/* * * * */' "$units/labelmill.crontab" >/etc/cron.d/labelmill
    grep -q '^\* \* \* \* \*  *labelmill ' /etc/cron.d/labelmill || return 1
    chmod 644 /etc/cron.d/labelmill
    cron -f >"$work/cron.log" 2>&1 &
    local cron=$!
    while [ ! -e "$out/_labelmill/run-summary.json" ] && [ "$waited" -lt 75 ]; do
        sleep 1
        waited=$((waited + 1))
    done
    kill "$cron"
    wait "$cron" || true
    must_have_labeled || {
        cat "$work/cron.log" /srv/labels/nightly.log >&2
        return 1
    }
}

install_as_told
if have systemd-analyze; then
    check "systemd-analyze verifies the units" units_verify
else
    skip "the units (there is no systemd-analyze)"
fi
if have setpriv; then
    check "ExecStart runs as written under env -i" exec_start_runs
    check "ExecStart fails over a collection that is not mounted" exec_start_without_pictures_fails
else
    skip "ExecStart (there is no setpriv)"
fi
if have cron && [ -d /etc/cron.d ] && [ -d /var/spool/cron ]; then
    check "cron runs the line of the crontab" cron_runs_the_line
else
    skip "the crontab (there is no Debian cron)"
fi
printf '%s passed, %s failed\n' "$passed" "$failed"
[ "$failed" = 0 ]
