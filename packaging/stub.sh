#!/bin/sh
# mnedge @VERSION@ (@FLAVOUR@) for Linux on @MACHINE@. Behind this text stands an archive, which is unpacked
# once, into the first of these folders that serves; then the program there takes over this process:
#   $MNEDGE_RUNTIME_DIR  /opt/mnedge/runtime (if it is there)  $XDG_CACHE_HOME/mnedge  ~/.cache/mnedge
#   /var/cache/mnedge  $TMPDIR/mnedge-UID  /dev/shm/mnedge-UID
# It takes sh, tar, gzip and glibc >= @GLIBC@.

{ # Read to its end before anything of it is done: of half a copy nothing is.
_mnedge_key=@KEY@
_mnedge_why=

_mnedge_say() {
	printf 'mnedge: %s\n' "$@" >&2
}

# Tell whether the folders are ours or root's, all of them, and nobody else may write there.
_mnedge_trusted() {
	_mnedge_ours=yes
	for _mnedge_folder; do
		[ -O "$_mnedge_folder" ] || _mnedge_ours=
	done
	while read -r _mnedge_mode _mnedge_links _mnedge_owner _mnedge_rest; do
		case $_mnedge_mode in
		d????[!w]??[!w]*) ;;
		*) return 1 ;;
		esac
		[ -n "$_mnedge_ours" ] || [ "$_mnedge_owner" = 0 ] || return 1
	done <<-EOF
		$(LC_ALL=C ls -ldn "$@" 2>/dev/null)
	EOF
}

# Tell whether nobody else can put another folder into the place once we have looked at it: it is no
# link, and what it stands in is ours or root's, and sticky if others write there.
_mnedge_ours_alone() {
	[ ! -h "$1" ] || return 1
	_mnedge_folder=${1%/*}/.
	read -r _mnedge_mode _mnedge_links _mnedge_owner _mnedge_rest <<-EOF
		$(LC_ALL=C ls -ldn "$_mnedge_folder" 2>/dev/null)
	EOF
	[ -O "$_mnedge_folder" ] || [ "$_mnedge_owner" = 0 ] || return 1
	case $_mnedge_mode in
	d????[!w]??[!w]* | d????????[tT]*) ;;
	*) return 1 ;;
	esac
}

# Tell whether the whole archive stands in the place: the mark is made last, and what cleans
# temporary folders by age takes it first, since nobody ever reads it.
_mnedge_complete() {
	[ -x "$1/$_mnedge_key/mnedge/mnedge" ] && [ -f "$1/$_mnedge_key/complete" ]
}

# Unpack into the place: complete afterwards, or as it was.
_mnedge_unpack() (
	[ -r "$0" ] || exit 4
	for tool in uname ls mkdir mv rm tail tar gzip; do
		command -v "$tool" >/dev/null 2>&1 || { echo "$tool" && exit 6; }
	done
	[ "$(uname -m)" = @MACHINE@ ] || exit 5
	umask 022
	mkdir -p "$1" 2>/dev/null
	[ -d "$1" ] || { echo "cannot be made" && exit 1; }
	[ -w "$1" ] || { echo "cannot be written" && exit 1; }
	_mnedge_trusted "$1/." || { echo "belongs to somebody else, or others may write there" && exit 1; }
	new=$1/.new-$_mnedge_key-$$
	mkdir "$new" 2>/dev/null || { echo "cannot be written" && exit 1; }
	trap 'rm -rf "$new"' EXIT
	trap 'exit 129' HUP
	trap 'exit 130' INT
	trap 'exit 143' TERM
	inside=$new/$_mnedge_key
	mkdir "$inside" || exit 1
	said=$(
		{
			tail -c +@OFFSET@ "$0" | { gzip -dc 2>/dev/null || echo @damaged@ >&3; } | tar -xomf - -C "$inside" 2>&3
		} 3>&1
	) || {
		tail -c +@OFFSET@ "$0" | gzip -t 2>/dev/null || said=@damaged@
		case $said in
		@damaged@*) ;;
		*) echo "does not take it: ${said:-tar failed}" && exit 1 ;;
		esac
	}
	case $said in
	*@damaged@*) exit 2 ;;
	esac
	[ -x "$inside/mnedge/mnedge" ] || { echo "runs no programs (mounted noexec?)" && exit 1; }
	said=$("$inside/mnedge/_internal/python/bin/python3" -I -S -c '' 2>&1)
	case $? in
	0) ;;
	126) echo "runs no programs: $said" && exit 1 ;;
	*) echo "$said" && exit 3 ;;
	esac
	: >"$inside/complete"
	# On disk before it has its name: a power cut leaves it whole, or not there.
	sync -f "$inside" 2>/dev/null || sync 2>/dev/null
	if [ -e "$1/$_mnedge_key" ] && ! _mnedge_complete "$1"; then
		mv "$1/$_mnedge_key" "$new/old" 2>/dev/null # parts of it were deleted
	fi
	mv "$inside" "$1/" 2>/dev/null || _mnedge_complete "$1" # another start was faster
)


# Tell whether the program can be started in the place.
_mnedge_ready() {
	[ -n "$1" ] && _mnedge_complete "$1" && _mnedge_trusted "$1/." "$1/$_mnedge_key/."
}

# Tell whether the program stands in the place now; note why not.
_mnedge_made() {
	[ -n "$1" ] || return 1
	_mnedge_said=$(_mnedge_unpack "$1")
	_mnedge_status=$?
	case $_mnedge_status in
	0) return 0 ;;
	1) ;;
	2) _mnedge_say "this file is damaged: $0" "Fetch or copy it again; SHA256SUMS has its checksum." ;;
	3) _mnedge_say "this machine cannot run it; it takes glibc >= @GLIBC@:" "$_mnedge_said" ;;
	4) _mnedge_say "the file itself cannot be read: $0" ;;
	5) _mnedge_say "this file is for @MACHINE@, and this machine is $(uname -m)" ;;
	6) _mnedge_say "$_mnedge_said is not on this machine, or not in PATH, and unpacking takes it" ;;
	*) exit "$_mnedge_status" ;; # interrupted
	esac
	[ "$_mnedge_status" = 1 ] || exit 1
	_mnedge_why="$_mnedge_why
  $1: $_mnedge_said"
	return 1
}

_mnedge_main() {
	case $0 in
	/*) MNEDGE_FILE=$0 ;;
	*) MNEDGE_FILE=$PWD/$0 ;;
	esac
	export MNEDGE_FILE
	_mnedge_place=${MNEDGE_RUNTIME_DIR:-}
	if [ -n "$_mnedge_place" ]; then
		if _mnedge_ready "$_mnedge_place" || _mnedge_made "$_mnedge_place"; then
			exec "$_mnedge_place/$_mnedge_key/mnedge/mnedge" "$@"
		fi
		echo "mnedge: MNEDGE_RUNTIME_DIR is not used:$_mnedge_why" >&2
	fi
	_mnedge_cache=
	case ${XDG_CACHE_HOME:-} in
	/*) [ -e "$XDG_CACHE_HOME" ] && [ ! -O "$XDG_CACHE_HOME/." ] || _mnedge_cache=$XDG_CACHE_HOME/mnedge ;;
	esac
	_mnedge_home=
	[ "${HOME:-/}" != / ] && [ -O "$HOME/." ] && _mnedge_home=$HOME/.cache/mnedge # not the one sudo left
	for _mnedge_place in /opt/mnedge/runtime "$_mnedge_cache" "$_mnedge_home" /var/cache/mnedge; do
		_mnedge_ready "$_mnedge_place" && exec "$_mnedge_place/$_mnedge_key/mnedge/mnedge" "$@"
	done
	_mnedge_temporary=${TMPDIR:-/tmp}/mnedge-$(id -u)
	_mnedge_memory=/dev/shm/mnedge-$(id -u)
	if [ -d "${TMPDIR:-/tmp}" ] && ! _mnedge_ours_alone "$_mnedge_temporary"; then
		_mnedge_why="$_mnedge_why
  $_mnedge_temporary: others can put something else there"
		_mnedge_temporary=
	fi
	_mnedge_ours_alone "$_mnedge_memory" || _mnedge_memory=
	for _mnedge_place in "$_mnedge_temporary" "$_mnedge_memory"; do
		_mnedge_ready "$_mnedge_place" && exec "$_mnedge_place/$_mnedge_key/mnedge/mnedge" "$@"
	done
	# The first start.
	_mnedge_system=/opt/mnedge/runtime # made by an installation, never for a look
	[ -d "$_mnedge_system" ] || _mnedge_system=
	for _mnedge_place in "$_mnedge_system" "$_mnedge_cache" "$_mnedge_home" /var/cache/mnedge \
		"$_mnedge_temporary" "$_mnedge_memory"; do
		_mnedge_made "$_mnedge_place" && exec "$_mnedge_place/$_mnedge_key/mnedge/mnedge" "$@"
	done
	_mnedge_say "there is no folder to unpack into; name one with MNEDGE_RUNTIME_DIR.$_mnedge_why"
	exit 1
}

_mnedge_main "$@"
exit 1
}
