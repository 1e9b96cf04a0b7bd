#!/usr/bin/env bash
# Makes the environment in .venv: every package at the version of constraints.txt, then Pyfhel, which has no wheel.
# Needs Python 3.11 to 3.13 and, for Pyfhel, a C++ compiler and Python's headers. Root is not needed.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '\033[1m%s\033[0m\n' "$*" >&2; }
fail() { printf 'setup: %s\n' "$*" >&2; exit 1; }

find_python() {
  for candidate in ${PYTHON:-python3.11 python3.12 python3.13 python3}; do
    if command -v "$candidate" >/dev/null &&
      "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; then
      command -v "$candidate"
      return
    fi
  done
  fail "no Python 3.11, 3.12 or 3.13 found; install one (Ubuntu 22.04: apt-get install python3.11 python3.11-venv python3.11-dev), or name it: PYTHON=/path/to/python3.11 make run"
}

make_venv() {
  local python=$1 version
  [ -x .venv/bin/python ] && .venv/bin/python -m pip --version >/dev/null 2>&1 && return
  version=$("$python" -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
  say "making .venv with $("$python" -V)"
  rm -rf .venv
  if "$python" -m venv .venv 2>/dev/null; then return; fi
  rm -rf .venv
  # Debian and Ubuntu ship Python without what makes environments.
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    say "installing $version-venv"
    apt-get update -qq && apt-get install -y -qq --no-install-recommends "$version-venv" "$version-dev"
    "$python" -m venv .venv
  elif "$python" -m virtualenv --version >/dev/null 2>&1; then
    "$python" -m virtualenv -q .venv
  else
    fail "$python cannot make environments; have $version-venv installed, or: $python -m pip install --user virtualenv"
  fi
}

# Runs a command whose output goes to a log, and shows that time passes.
watched() {
  local log=$1 start=$SECONDS last=0 pid
  shift
  "$@" >"$log" 2>&1 &
  pid=$!
  while kill -0 "$pid" 2>/dev/null; do
    sleep 1
    if [ -t 2 ]; then
      printf '\r  %d s  %.70s\033[K' $((SECONDS - start)) "$(tail -n 1 "$log" | tr -d '\r')" >&2
    elif [ $((SECONDS - last)) -ge 30 ]; then
      last=$SECONDS
      printf '  %d s\n' $((SECONDS - start)) >&2
    fi
  done
  [ -t 2 ] && printf '\r\033[K' >&2
  wait "$pid"
}

pip() { .venv/bin/python -m pip --disable-pip-version-check --no-input "$@"; }

install_packages() {
  local log=.venv/install.log
  say "installing packages (about 2 GB on first use)"
  watched "$log" pip install -c infra/constraints.txt setuptools -e ".${EXTRAS:+[$EXTRAS]}" ||
    fail "packages could not be installed; the end of $log says why:
$(tail -n 5 "$log")"
  if [ "${EXTRAS:-}" = dev ]; then
    # A test oracle whose own pins do not fit ours.
    pip install -q --no-deps -c infra/constraints.txt pycanon
  fi
}

# Pyfhel's source clones three small libraries while it builds. seal.cmake leaves them out (they compress ciphertexts),
# so that it builds offline. The wheel is kept, so that this happens once per machine and Python.
install_pyfhel() {
  local version tag cache
  version=$(sed -n 's/^pyfhel==//Ip' infra/constraints.txt)
  .venv/bin/python -c "from importlib.metadata import version as v; import sys; sys.exit(v('pyfhel') != '$version')" 2>/dev/null && return
  tag=$(.venv/bin/python -c 'import sys, platform; print("cp%d%d-%s" % (*sys.version_info[:2], platform.machine()))')
  cache=${SECURED_WHEELS:-${XDG_CACHE_HOME:-$HOME/.cache}/secured/wheels}/$tag
  mkdir -p "$cache" 2>/dev/null || { cache=.cache/wheels/$tag; mkdir -p "$cache"; }
  if ! ls "$cache"/[Pp]yfhel-"$version"-*.whl >/dev/null 2>&1; then
    say "building Pyfhel $version, once per machine; takes some minutes"
    if ! CMAKE_TOOLCHAIN_FILE=$PWD/infra/seal.cmake \
      watched "$cache/build.log" pip wheel -v --no-deps --no-cache-dir -w "$cache/new" "Pyfhel==$version"; then
      say "Pyfhel could not be built, so homomorphic encryption is missing; everything else works."
      say "It needs a C++ compiler and Python's headers (python3-dev). The end of $cache/build.log says what went wrong."
      return
    fi
    mv "$cache"/new/*.whl "$cache"/ && rmdir "$cache/new"
  fi
  pip install -q --no-deps "$cache"/[Pp]yfhel-"$version"-*.whl
}

make_venv "$(find_python)"
install_packages
install_pyfhel
say "ready: $(.venv/bin/python -V), .venv/bin/secured"
