# The part of dt push that runs on each host: sh -c SCRIPT dt DST SHA256 CKSUM MODE OWNER NEWMODE <FILE
umask 077;
d=$1 s=$2 c=$3 m=$4 o=$5 n=$6 t= e=0;
x() { trap - HUP INT TERM PIPE; [ -z "$t" ] || rm -f "$t"; echo "$1" >&2; exit 1; };
trap "x interrupted" HUP INT TERM PIPE;
if command -v sha256sum >/dev/null 2>&1; then k=sha256; elif command -v cksum >/dev/null 2>&1; then k=cksum s=$c;
else x "neither sha256sum nor cksum is there"; fi;
# What a file sums up to.
q() { if [ $k = sha256 ]; then set -- $(sha256sum <"$1"); r=$1; else set -- $(cksum <"$1"); r="$1 $2"; fi; };
# Whether DST can be replaced.
y() { [ -h "$d" ] && x "$d is a link"; [ -d "$d" ] && x "$d is a folder"; [ -f "$d" ] || [ -h "$d" ] ||
{ [ -e "$d" ] && x "$d is no file"; }; return 0; };
# Three of ls(1) letters as a digit; what stands for a fourth digit is added to e.
v() { b=0; case $1 in r*) b=4;; esac; case $1 in ?w*) b=$((b+2));; esac; case $1 in ??[xst]*) b=$((b+1));; esac;
case $1 in ??[sStT]*) e=$((e+$2));; esac; };
y;
if [ -f "$d" ]; then
q "$d";
if [ "$r" = "$s" ]; then
[ -z "$o" ] || chown "$o" "$d" || x "cannot give $d to $o";
[ -z "$m" ] || chmod "$m" "$d" || x "cannot set the mode of $d";
echo "already there ($k)"; exit 0; fi;
set -- $(stat -c "%a %u:%g" "$d" 2>/dev/null);
if [ $# = 2 ]; then p=$1 w=$2; else
set -- $(ls -nd "$d"); w=$3:$4 p=${1#?};
g=${p#???}; z=${g#???};
v "${p%"$g"}" 4; i=$b; v "${g%"$z"}" 2; j=$b; v "$z" 1; p=$e$i$j$b; fi;
[ -n "$m" ] || m=$p; [ -n "$o" ] || o=$w;
fi;
[ -n "$m" ] || m=$n;
set -C; exec 3>"$d.$$"; t=$d.$$; set +C;
cat >&3 || x "cannot write $t";
exec 3>&-; q "$t"; [ "$r" = "$s" ] || x "what came there is not what was sent";
[ -z "$o" ] || chown "$o" "$t" || x "cannot give $d to $o";
chmod "$m" "$t" || x "cannot set the mode of $d";
sync; y; mv -f "$t" "$d" || x "cannot rename to $d";
# Into a folder, if one has appeared.
t=$d/${t##*/}; q "$d"; [ "$r" = "$s" ] || x "$d is not what was sent";
echo "written ($k)";
