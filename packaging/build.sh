#!/bin/sh
# The shipped files, from this checkout to dist/: wheel, clean environment, frozen folder, licences and
# parts, packages and signature, the executable's own self-test, checksums. packaging/README.md says more.
set -eu
cd "$(dirname "$0")/.."

FLAVOUR=${FLAVOUR:-lean}
OUT=${OUT:-dist}
WORK=${WORK:-build}
case $FLAVOUR in
lean) name=mnedge ;;
full) name=mnedge-full ;;
*)
	echo "build: FLAVOUR is lean or full, not $FLAVOUR" >&2
	exit 2
	;;
esac
PYTHON=${PYTHON:-.venv/bin/python}
PYTHON=$("$PYTHON" -c 'import os, sys; print(os.path.realpath(sys.executable))')

# Nothing of this machine, this folder or this hour gets into what is built.
: "${SOURCE_DATE_EPOCH:=$(git log -1 --format=%ct 2>/dev/null || echo 1767225600)}"
export SOURCE_DATE_EPOCH PYTHONHASHSEED=0 PYTHONDONTWRITEBYTECODE=1 LC_ALL=C.UTF-8 TZ=UTC
# Columns are shown below lines of source, and no source is shipped: a tenth of all code is theirs.
export PYTHONNODEBUGRANGES=1
unset PYTHONPATH PYTHONHOME PYTHONOPTIMIZE
umask 022

mkdir -p "$WORK" "$OUT"
WORK=$(cd "$WORK" && pwd)
OUT=$(cd "$OUT" && pwd)
freeze=$WORK/$name

step() { echo "build: $*" >&2; }

# What was made from the very same is not made again.
key=${MNEDGE_SIGNING_KEY:-}
sources=$("$PYTHON" packaging/source.py --key && "$PYTHON" -VV && sha256sum <"${key:-/dev/null}" && echo "$SOURCE_DATE_EPOCH")
if [ -x "$OUT/$name" ] && [ "$(cat "$OUT/.$name.made-from" 2>/dev/null)" = "$sources" ]; then
	exit 0
fi
rm -f "$OUT/.$name.made-from"

# A clean environment, exactly as the locks say; kept until they change.
env=$WORK/env-$FLAVOUR
locks=$(cat packaging/build.lock "packaging/$FLAVOUR.lock" | cksum && "$PYTHON" -VV && echo "$PYTHON $env")
if [ "$(cat "$env/.made-from" 2>/dev/null)" != "$locks" ]; then
	step "environment of packaging/$FLAVOUR.lock"
	rm -rf "$env"
	"$PYTHON" -m venv "$env"
	"$env/bin/python" -m pip install -qq --no-compile --require-hashes --only-binary :all: \
		--report "$env/report.json" -r packaging/build.lock -r "packaging/$FLAVOUR.lock"
	printf '%s' "$locks" >"$env/.made-from"
fi

step "wheel"
rm -rf "$freeze"
mkdir -p "$freeze/source"
"$env/bin/python" packaging/source.py "$freeze/source"
(
	cd "$freeze/source"
	CFLAGS=-g0 LDFLAGS="-s -Wl,--build-id=none" \
		"$env/bin/python" -m pip wheel -qq --no-deps --no-build-isolation --no-index -w "$freeze" .
)
"$env/bin/python" -m pip install -qq --no-deps --no-index --no-compile --force-reinstall "$freeze"/mnedge-*.whl

step "freeze"
# Not compressed inside: it is compressed once, as a whole, and starts faster.
PYINSTALLER_ZLIB_COMPRESSION_LEVEL=0 PYINSTALLER_CONFIG_DIR=$freeze/cache \
	"$env/bin/python" -m PyInstaller --log-level WARN --noconfirm \
	--distpath "$freeze/dist" --workpath "$freeze/work" packaging/mnedge.spec >"$freeze/log" 2>&1 || {
	cat "$freeze/log" >&2
	exit 1
}
# It calls a module that it did not find an error, and goes on.
if grep ERROR: "$freeze/log" >&2; then
	exit 1
fi
mkdir "$freeze/out" "$freeze/try"
"$env/bin/python" packaging/finish.py "$freeze/dist/mnedge" "$FLAVOUR"
"$env/bin/python" packaging/licences.py "$freeze/dist/mnedge"
"$env/bin/python" packaging/sbom.py "$freeze/dist/mnedge" --flavour "$FLAVOUR" --out "$freeze/out/$name.cdx.json" \
	--wheels "$freeze" --report "$env/report.json"

step "packages"
"$env/bin/python" packaging/pack.py "$freeze/dist/mnedge" "$freeze/out" "$FLAVOUR"

step "its own self-test"
env -i PATH=/usr/bin:/bin HOME="$freeze/try" MNEDGE_RUNTIME_DIR="$freeze/try/runtime" "$freeze/out/$name" selftest >&2

# What was not run was not built: only now it goes where it is looked for.
rm -rf "$OUT/$name" "$OUT/$name.release.json" "$OUT/$name"[-_][0-9]* "$OUT/onedir/$name"
mkdir -p "$OUT/onedir"
mv "$freeze/dist/mnedge" "$OUT/onedir/$name"
mv "$freeze/out"/* "$OUT"
"$env/bin/python" packaging/checksums.py "$OUT"
rm -rf "$freeze"
printf '%s' "$sources" >"$OUT/.$name.made-from"
