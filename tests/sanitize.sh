#!/usr/bin/env bash
# Builds the core with the address and the undefined-behaviour sanitizer into a temporary folder, and runs the tests
# of the tokenizer over it; ends with another code than 0 on any report. PYTHON names an interpreter that has the
# tests' packages, setuptools and Cython; CC is gcc (the default) or clang. Arguments replace the tests that are run:
#
#   tests/sanitize.sh
#   CC=clang HYPOTHESIS_PROFILE=deep HYPOTHESIS_EXAMPLES=500 tests/sanitize.sh tests/property/test_tokenizer.py
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=${PYTHON:-python}
export CC=${CC:-gcc}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

tests=("$@")
if [ ${#tests[@]} = 0 ]; then
    tests=(
        tests/unit/test_block.py tests/unit/test_core.py tests/unit/test_ints.py tests/unit/test_pool.py
        tests/unit/test_together.py tests/unit/test_tokenizer.py tests/unit/test_stream.py
        tests/property/test_tokenizer.py tests/property/test_paths.py tests/property/test_masks.py
        tests/property/test_files.py
        tests/differential/test_sentencepiece.py tests/differential/test_tekken.py
        tests/differential/test_tokenizer_json.py tests/differential/test_neighbours.py
    )
fi

# What a preloaded runtime needs beside it: the C++ library, whose exceptions it watches.
case $("$CC" --version) in
*clang*)
    # Cython's wrappers add 0 to NULL where a call has no arguments, which clang reports and gcc does not.
    printf '[pointer-overflow]\nfun:__pyx_pw_*\nfun:__pyx_tp_new_*\n' >"$work/ignored"
    flags="-shared-libasan -fsanitize-ignorelist=$work/ignored"
    runtimes=$("$CC" -print-file-name="libclang_rt.asan-$(uname -m).so")
    ;;
*)
    flags=
    runtimes="$("$CC" -print-file-name=libasan.so):$("$CC" -print-file-name=libubsan.so)"
    ;;
esac
runtimes+=":$("$CC" -print-file-name=libstdc++.so.6)"

echo "Building with $CC"
cp -r "$root/mistral_tok" "$root/model" "$root/pyproject.toml" "$root/README.md" "$root/LICENSE" "$work"
find "$work/mistral_tok" \( -name '*.so' -o -name '*.c' \) -delete
sanitize="-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer $flags"
(
    cd "$work"
    CFLAGS="-O1 -g $sanitize" LDFLAGS="$sanitize" \
        "$python" -c 'from setuptools import setup; setup()' -q build_ext --inplace
) >"$work/build.log" 2>&1 || { tail -40 "$work/build.log" && exit 1; }

# Blocks from malloc, so that reading past the end of a string is seen; leaks of the interpreter are not ours.
export LD_PRELOAD=$runtimes PYTHONPATH=$work PYTHONMALLOC=malloc MISTRAL_TOK_CACHE=off
# Reports go to files: what pytest captures is lost when the process ends at once.
export ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1:strict_string_checks=1:log_path=$work/report
export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1:log_path=$work/report
cd "$root"
"$python" -P - "$work" <<'PYTHON'
import sys
from mistral_tok.core import encode
if not encode.__file__.startswith(sys.argv[1]):
    sys.exit(f"The core was imported from {encode.__file__}, not from the folder that was built.")
PYTHON
code=0
# The sanitizer's own allocator does not survive a fork while another thread allocates.
"$python" -P -m pytest -p no:cacheprovider "${tests[@]}" \
    --deselect tests/unit/test_tokenizer.py::test_usable_after_fork_while_another_thread_encodes \
    --deselect 'tests/unit/test_pool.py::test_threads[together]' || code=$?
for report in "$work"/report*; do
    if [ -e "$report" ]; then
        code=1
        grep -v "/Python/\|/Objects/\|/Modules/" "$report" | head -60
    fi
done
exit $code
