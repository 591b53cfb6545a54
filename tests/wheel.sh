#!/usr/bin/env bash
# Builds the wheel with `pip install .`'s own builder, installs it into a new virtual environment and labels the samples
# there, as somebody who has only Python would. Reuses what cargo has compiled in the target folder.
#
#     tests/wheel.sh
set -euo pipefail
# shellcheck source=../scripts/lib.sh
source "$(dirname "$0")/../scripts/lib.sh"
cd "$repository"

# Not below the project, whose .runtime/ a program there would find.
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
most_bytes=$((40 << 20))
passed=0

check() {
    "${@:2}" || give_up "$1: does not hold"
    passed=$((passed + 1))
    say "ok  $1"
}

# Prints the wheel's file of this name.
in_wheel() {
    "$python" -c "
import sys, zipfile
wheel = zipfile.ZipFile(sys.argv[1])
print(wheel.read(next(name for name in wheel.namelist() if name.endswith('/' + sys.argv[2]))).decode())" "$wheel" "$1"
}

need_build_tools
make_venv "$work/venv"
python="$work/venv/bin/python"

export CARGO_TARGET_DIR="$target"
before="$(find "$target/release/deps" -name 'lib*.rlib' 2>/dev/null | wc -l)"
"$python" -m pip wheel --quiet --no-deps --wheel-dir "$work/wheels" . >&2 </dev/null
after="$(find "$target/release/deps" -name 'lib*.rlib' | wc -l)"
wheel="$(echo "$work"/wheels/labelmill-*.whl)"
say "$(basename "$wheel"): $(stat -c %s "$wheel") bytes"
check "the wheel has at most 40 MB" test "$(stat -c %s "$wheel")" -le "$most_bytes"
# labelmill's own library may be built anew; its 200 dependencies may not.
check "no dependency was compiled a second time" test "$((before == 0 ? 0 : after - before))" -le 1
check "the wheel asks for ONNX Runtime" \
    grep -q '^Requires-Dist: onnxruntime>=1.24$' <(in_wheel METADATA)

say "installing it into a new environment"
"$python" -m pip install --quiet "$wheel" >&2 </dev/null
# Nothing of the project or the caller may help: no .runtime/, no variable, no other Python on the PATH.
run_installed() {
    env -i HOME="$work" PATH="/usr/bin:/bin" "$work/venv/bin/labelmill" "$@"
}
check "doctor finds the environment's ONNX Runtime" \
    grep -q "active Python.*$work/venv/.*(version 1" <(run_installed doctor 2>&1)
check "the demo models label the samples" \
    run_installed run tests/fixtures/samples --preset demo --device cpu --out "$work/labels" --quiet
check "the labels hold tags" "$target/test-venv/bin/python" -c "
import duckdb, sys
tagged = duckdb.sql(\"select count(*) from '$work/labels/*.parquet' where len(tags) > 0\").fetchall()[0][0]
sys.exit(tagged < 30)"
check "python -m labelmill is the same program" \
    test "$("$python" -m labelmill --version)" = "$(run_installed --version)"
check "the licences are inside" grep -q 'MIT License' <(in_wheel LICENSE-MIT)
printf '%s passed, 0 failed\n' "$passed"
