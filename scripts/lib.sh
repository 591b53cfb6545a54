# What quickstart, test and check have in common: finding or fetching the tools that a build needs.
# Sourced, not run. Needs bash 5. Fetches only from PyPI (cmake, ninja, ONNX Runtime) and Debian (nasm, python3-venv, chromium).

repository="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
target="${CARGO_TARGET_DIR:-$repository/target}"
cmake_package="cmake==4.4.4"
ninja_package="ninja==1.13.0"
oldest_rust="1.92"

export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 DEBIAN_FRONTEND=noninteractive

# Says one line of progress. Data goes to stdout, all else to stderr.
say() { printf '%s\n' "$*" >&2; }

# Ends the script with what is missing and what to do about it.
give_up() {
    printf '%s: %s\n' "$(basename "$0")" "$1" >&2
    exit 1
}

# Prints the header comment of the calling script, without its marks.
print_help() { sed -n '2,/^[^#]/{s/^# \{0,1\}//p}' "$0"; }

have() { command -v "$1" >/dev/null 2>&1; }

# Whether this machine lets us install Debian packages without asking anybody.
may_apt_install() { have apt-get && [ "$(id -u)" = 0 ]; }

apt_install() {
    mkdir -p "$target"
    say "installing $* with apt-get"
    { apt-get install -y --no-install-recommends "$@" || { apt-get update && apt-get install -y --no-install-recommends "$@"; }; } \
        </dev/null >"$target/apt.log" 2>&1
}

# The three things that are asked of the user.
need_toolchains() {
    if ! have cargo && [ -x "${HOME:-/root}/.cargo/bin/cargo" ]; then
        PATH="${HOME:-/root}/.cargo/bin:$PATH"
    fi
    have cargo || give_up "there is no cargo; install Rust $oldest_rust or later (https://rustup.rs)"
    have cc || have gcc || have clang || give_up "there is no C compiler; install gcc or clang (Debian, Ubuntu: apt-get install gcc libc6-dev)"
    have python3 || give_up "there is no python3; install Python 3 (Debian, Ubuntu: apt-get install python3)"
}

# Ends the script when python3 is older than MAJOR.MINOR.
need_python() {
    python3 -c "import sys; sys.exit(sys.version_info < (${1/./, }))" \
        || give_up "python3 is $(python3 -V 2>&1 | cut -d' ' -f2); this needs Python $1 or later"
}

# Makes a virtual environment with pip in folder $1. Debian splits what `venv` needs off into a package of its own, so
# several ways are tried before giving up.
make_venv() {
    local folder="$1" log="$target/venv.log"
    if "$folder/bin/python" -m pip --version >/dev/null 2>&1; then return; fi
    mkdir -p "$target"
    rm -rf "$folder"
    if python3 -m venv "$folder" >"$log" 2>&1; then return; fi
    rm -rf "$folder"
    if have uv && uv venv --seed --python "$(command -v python3)" "$folder" >>"$log" 2>&1; then return; fi
    rm -rf "$folder"
    if python3 -m pip --version >/dev/null 2>&1 && python3 -m venv --without-pip "$folder" >>"$log" 2>&1 \
        && python3 -m pip --python "$folder/bin/python" install --quiet pip >>"$log" 2>&1; then return; fi
    rm -rf "$folder"
    if may_apt_install && apt_install python3-venv && python3 -m venv "$folder" >>"$log" 2>&1; then return; fi
    rm -rf "$folder"
    give_up "python3 cannot make a virtual environment (details: $log); install its venv module (Debian, Ubuntu: apt-get install python3-venv)"
}

# Installs packages into the virtual environment $1, once: the arguments after it are pip's.
pip_install() {
    local folder="$1" stamp="$1/installed" wanted
    shift
    wanted="$*$(for argument in "$@"; do [ -f "$argument" ] && cat "$argument"; done || true)"
    if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then return; fi
    say "installing Python packages into $folder"
    "$folder/bin/python" -m pip install --quiet "$@" >&2 </dev/null
    printf '%s' "$wanted" >"$stamp"
}

# Puts a program of PyPI's on the PATH. Its folder holds nothing else, so that the environment's python3 does not come
# before the user's.
pip_program() {
    make_venv "$target/tools-venv"
    pip_install "$target/tools-venv" "$cmake_package" "$ninja_package"
    mkdir -p "$target/tools"
    ln -sf "$target/tools-venv/bin/$1" "$target/tools/$1"
    case "$PATH" in "$target/tools:"*) ;; *) PATH="$target/tools:$PATH" ;; esac
    have "$1" || give_up "$1 is missing and PyPI's did not work; install $1"
}

# cmake builds the JPEG decoder, by make where there is one, else by ninja.
need_cmake() {
    have cmake || pip_program cmake
    if ! have make; then
        have ninja || pip_program ninja
        export CMAKE_GENERATOR=Ninja
    fi
}

# NASM makes JPEG decoding faster and nothing else. PyPI's `nasm` is another program.
want_nasm() {
    if have nasm || have yasm; then return; fi
    if may_apt_install && apt_install nasm && have nasm; then return; fi
    say "note: there is no NASM, so JPEG decoding will be slower (install nasm and build again)"
}

# A browser for the page's tests, which skip without one.
want_chromium() {
    local name
    for name in chromium chromium-browser google-chrome google-chrome-stable chrome; do
        if have "$name"; then return; fi
    done
    if may_apt_install && apt_install chromium && have chromium; then return; fi
    say "note: there is no Chromium, so the page is not tested in a browser (install chromium)"
}

# ONNX Runtime goes to .runtime/.
need_onnxruntime() { "$repository/scripts/fetch-onnxruntime" </dev/null >&2; }

need_build_tools() {
    need_toolchains
    need_cmake
    want_nasm
}
