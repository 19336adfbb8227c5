//! What `nsscache help COMMAND` prints.

use crate::sys::error::Error;
use crate::sys::output;

const MAP: &str = "  -m MAP, --map=MAP  this map instead of those configured; may be repeated\n";

/// Prints the help of a command; an error if there is none of that name.
pub fn print(name: &[u8]) -> Result<(), Error> {
    let text: &[&str] = match name {
        b"update" => &[
            "\
Usage: nsscache update [OPTION]...
Fetches the maps, or what has changed of them, and replaces their files.

",
            MAP,
            "  -f, --full         whole maps, even if their source has nothing new
  -s N, --sleep=N    wait N seconds first
  --force-write      accept an empty map
  --accept-shrink    accept a map that shrank by more than max_shrink, once
  --accept-serial    accept a snapshot that is older than the last one, once
  --force-lock       end whoever has the lock, if it is an nsscache
",
        ],
        b"watch" => &[
            "\
Usage: nsscache watch [OPTION]...
Stays, and keeps the maps current: sources that tell of changes are followed,
others are asked every watch_interval seconds. SIGHUP reads nsscache.conf anew,
SIGUSR1 updates now.

",
            MAP,
            "  -1  print a newline once all maps were tried
",
        ],
        b"export" => &[
            "\
Usage: nsscache export [OPTION]... -k KEYFILE DIR
Writes the maps that are here, and a list of them that is signed by minisign,
into DIR, for boards with http_snapshot_url. Any web server may hand it out.

",
            MAP,
            "  -k FILE, --key=FILE  minisign's secret key, without a password
  --shadow           shadow, too, if it is a map
  --renew=HOURS      unless a map has changed, write nothing while the last
                     export is younger
  --accept-shrink    accept a map that shrank by more than max_shrink, once
",
        ],
        b"verify" => &[
            "\
Usage: nsscache verify [OPTION]...
Looks whether nsswitch.conf lists the caches, the sources answer, and programs
see what the files hold. The exit code counts what is wrong (at most 125).

",
            MAP,
        ],
        b"status" => &[
            "\
Usage: nsscache status [OPTION]...
Tells when each map has changed, and when it was last looked for.

",
            MAP,
            "  --epoch            seconds since 1970
  --json             all that is known, as JSON
  --template=FORMAT  %(map)s, %(key)s and %(value)s are replaced
  --automount-template=FORMAT  for maps of automount; %(automount)s, too
",
        ],
        b"repair" => &[
            "\
Usage: nsscache repair [OPTION]...
The first parts of verify; if nothing is wrong, a full update.

",
            MAP,
        ],
        b"check-config" => &[
            "\
Usage: nsscache check-config [OPTION]...
Prints what is wrong with nsscache.conf, each with its line. Exit code 1 if
anything is.

",
            MAP,
        ],
        b"help" => &["\
Usage: nsscache help [COMMAND]
Tells what a command does, or which ones there are.
"],
        b"index" | b"sshkey" | b"automount" => &["\
Usage: nsscache index [-d DIR] [-s SUFFIX] [-v] [MAP]...
       nsscache sshkey [-d DIR] [-s SUFFIX] USER
       nsscache automount [-d DIR] [-s SUFFIX] MAP KEY
Work on the files alone, and read no configuration.

  -d DIR     the files are in DIR, not in /etc
  -s SUFFIX  they end with .SUFFIX, not with .cache; empty: with nothing
  -v         tell what was done
"],
        _ => {
            use std::os::unix::ffi::OsStrExt;
            let name = std::ffi::OsStr::from_bytes(name);
            let error = Error::options("no such command:").about(name);
            return Err(error.with_exit(crate::sys::error::Exit::FAILURE));
        }
    };
    output::print(text.concat().as_bytes())
}
