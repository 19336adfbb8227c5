"""Completions for bash and zsh from what an executable prints for --help: options, what they take, and the
words that a command begins with (nssbox's applets, getent's databases, commands of a command)."""

import re
import subprocess
from dataclasses import dataclass, field

# A word for what is to be put there: FILE, [FORMAT:]FILE, N[%], DATABASE:LIST.
ARGUMENT = r"(?:\[[A-Z][^\]\s]*\])?[A-Z][A-Z-]*(?:[:%\[][^\s,|]*)?(?![\w-])"
OPTION = re.compile(r"(--?[\w?][\w-]*)(?:(\[?)=(\w[\w-]*)\]?| (" + ARGUMENT + r"))?")
# What stands between the options of one entry: -p, --dry-run.
NEXT = re.compile(r", ?(?=-)")
# Words in front of what they are: "  update  fetches", "  passwd group: from the server".
WORD = re.compile(r"^  ([a-z][\w-]*) {2,}(\S.*)$")
WORDS = re.compile(r"^  ([a-z][\w-]*(?: [a-z][\w-]*)*): ")
# Of all applets, and of nssbox: no --help explains them.
ALWAYS = ("--help", "--version")
# What zsh completes for an argument whose name ends so.
ZSH = {"FILE": "_files", "SOCKET": "_files", "PATH": "_files", "SRC": "_files", "DIR": "_files -/",
       "USER": "_users", "GROUP": "_groups", "UID": "_users"}


@dataclass
class Option:
    """`argument` is the word for it, "" for none; `attached` if it may be left out, and follows a `=`."""
    name: str
    argument: str = ""
    attached: bool = False
    about: str = ""


@dataclass
class Command:
    """Its words are those that its first argument can be; some of them are commands themselves."""
    options: list = field(default_factory=list)
    words: dict = field(default_factory=dict)


def commands(run, applets):
    """{"": nssbox, "APPLET": …, "APPLET COMMAND": …}. `run` has the words that start the executable.
    {} if it cannot be run here or tells nothing."""
    found, todo = {}, ["", *applets]
    while todo:
        name = todo.pop(0)
        text = told([*run, *name.split(), "--help"])
        if not text.startswith("Usage: "):
            if name in ("", *applets):
                return {}
            continue
        found[name] = parse(text)
        # A command of a command has its own help, where the text of that differs.
        if name and " " not in name:
            todo += [f"{name} {word}" for word in found[name].words
                     if told([*run, name, word, "--help"]) != text]
    return found


def told(command):
    try:
        done = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, timeout=60, check=False, env={"PATH": "/nonexistent"})
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode(errors="replace") if done.returncode == 0 else ""


def parse(text):
    """What a --help says."""
    command, options = Command(), {}
    lines = text.splitlines()
    usage = 1
    while usage < len(lines) and lines[usage].startswith("   or: "):
        usage += 1
    entry = []
    for line in lines[usage:]:
        word, words = WORD.match(line), WORDS.match(line)
        pieces = re.split(r" {2,}", line.strip())
        if line.startswith("As "):
            # "As glibc: -i TABLE, -K alone": named, and not explained.
            entry = []
            add(options, in_passing(line), line.partition(":")[0].lower())
        elif any(piece.startswith("-") for piece in pieces):
            bare = False
            for piece in pieces:
                # "-U  -G, -g and -u from the environment": what stands behind an option tells of it.
                if piece.startswith("-") and not bare:
                    entry, rest = head(piece)
                    add(options, entry, rest)
                    if rest.startswith("["):
                        add(options, in_passing(rest), "")
                    bare = not rest
                else:
                    tell(entry, piece)
                    bare = False
        elif word:
            entry = []
            command.words[word[1]] = word[2]
        elif words:
            entry = []
            command.words.update((name, "") for name in words[1].split())
        elif line.startswith("   "):
            tell(entry, line.strip())
        else:
            entry = []
    add(options, in_passing(" ".join(lines[:usage])), "")
    add(options, [Option(name) for name in ALWAYS], "")
    command.options = list(options.values())
    return command


def head(piece):
    """The options that a piece of a line begins with, and what is behind them."""
    found, at = [], 0
    while match := OPTION.match(piece, at):
        found.append(Option(match[1], match[3] or match[4] or "", bool(match[2])))
        at = match.end()
        comma = NEXT.match(piece, at)
        if not comma:
            break
        at = comma.end()
    # -S, --ask SOCKET: one option with two names.
    for short, long in zip(found, found[1:]):
        if long.name.startswith("--") and not short.name.startswith("--") and not short.argument:
            short.argument = long.argument
    return found, piece[at:].strip()


def in_passing(text):
    """Options in running text: [-n FILE|-u NAME]."""
    return [Option(match[1], match[3] or match[4] or "", bool(match[2]))
            for match in OPTION.finditer(text) if not re.match(r"[\w'.-]", text[match.start() - 1])]


def add(options, entry, about):
    """The first mention of an option is the one that counts."""
    for option in entry:
        option.about = option.about or about
        options.setdefault(option.name, option)


def tell(entry, text):
    """More of what is said of options."""
    for option in entry:
        option.about = f"{option.about} {text}".strip()


def quoted(text):
    """A word for a shell."""
    return "'" + text.replace("'", "'\\''") + "'"


def bash(found, names):
    """The script that completes nssbox, and the applets that have `names` of their own."""
    cases = []
    for name, command in found.items():
        plain = " ".join(o.name for o in command.options)
        valued = " ".join(o.name for o in command.options if o.argument and not o.attached)
        cases.append(f"    {quoted(name)})\n        options={quoted(plain)}\n"
                     f"        valued={quoted(valued)}\n        words={quoted(' '.join(command.words))} ;;\n")
    return BASH.replace("@CASES@", "".join(cases)).replace("@NAMES@", " ".join(["nssbox", *names]))


BASH = """\
# Completion of nssbox and its applets for bash, made of their --help by build/install.

# The options of a command ('' is nssbox), those of them that take the next word, and what its first word can be.
_nssbox_command() {
    case $1 in
@CASES@    *) return 1 ;;
    esac
}

_nssbox() {
    local current=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}
    local name=${COMP_WORDS[0]##*/} at word options valued words first=1 skip=
    COMPREPLY=()
    # bash makes three words of --ask=FILE.
    [[ $current != '=' && $before != '=' ]] || return 0
    [[ $name != nssbox ]] || name=
    _nssbox_command "$name" || return 0
    for ((at = 1; at < COMP_CWORD; at++)); do
        word=${COMP_WORDS[at]}
        if [[ $skip ]]; then
            skip=
        elif [[ $word == -* ]]; then
            [[ " $valued " != *" $word "* ]] || skip=1
        elif [[ $first ]] && _nssbox_command "${name:+$name }$word"; then
            name=${name:+$name }$word
        else
            first=
        fi
    done
    if [[ $skip ]]; then
        return 0
    elif [[ $current == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$options" -- "$current")
    elif [[ $first ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
    fi
}

# Without an answer of ours: names of files.
complete -o bashdefault -o default -F _nssbox @NAMES@
"""


def zsh(found, names):
    """The function that completes nssbox, and the applets that have `names` of their own."""
    cases = []
    for name, command in found.items():
        specs = [quoted(spec(option)) for option in command.options]
        words = [quoted(f"{word}:{plain(about)}" if about else word) for word, about in command.words.items()]
        cases.append(f"    {quoted(name)})\n        words_here=({' '.join(words)})\n        specs=(\n"
                     + "".join(f"            {line}\n" for line in specs) + "        ) ;;\n")
    return ZSH_SCRIPT.replace("@CASES@", "".join(cases)).replace("@NAMES@", " ".join(["nssbox", *names]))


def spec(option):
    """An option for _arguments: it may be given again, and tells what it is for."""
    name = option.name.replace(":", "\\:")
    about = f"[{plain(option.about)}]" if option.about else ""
    if not option.argument:
        return f"*{name}{about}"
    action = next((how for end, how in ZSH.items() if option.argument.endswith(end)), " ")
    argument = f"{plain(option.argument)}:{action}"
    if option.attached:
        return f"*{name}=-{about}::{argument}"
    return f"*{name}{'=' if name.startswith('--') else ''}{about}:{argument}"


def plain(text):
    """Text in which nothing means anything to _arguments and _describe."""
    return re.sub(r"([\\\[\]:])", r"\\\1", text)


ZSH_SCRIPT = """\
#compdef @NAMES@
# Completion of nssbox and its applets for zsh, made of their --help by build/install.

# The options of a command ('' is nssbox), and what its first word can be.
_nssbox_command() {
    case $1 in
@CASES@    *) return 1 ;;
    esac
}

_nssbox() {
    local name=${words[1]:t} curcontext=$curcontext state line
    local -a specs words_here
    [[ $name != nssbox ]] || name=
    _nssbox_command "$name" || { _files; return }
    while (( CURRENT > 2 )) && _nssbox_command "${name:+$name }$words[2]"; do
        name=${name:+$name }$words[2]
        shift words
        (( CURRENT-- ))
    done
    _arguments -s -S $specs '1: :->first' '*: :_files' && return
    [[ $state != first ]] && return 1
    if (( $#words_here )); then
        _describe word words_here
    else
        _files
    fi
}

_nssbox "$@"
"""
