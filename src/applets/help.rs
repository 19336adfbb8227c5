//! Paragraphs that the helps of several applets share.

/// Whom getent's friends ask: the last paragraphs of their helps.
pub const ASKS: &str = "
  -S, --ask SOCKET  this nsss server (/run/service/nsssd/s, else nscd, else the
                    local files and the map)
  -s LIST           ask these backends, as getent -s does

Exit codes: 0 good, 1 a user or a name was not found, or wrong usage.
";

/// What a nsss daemon does.
pub const DAEMON: &str = "
Answers one nsss client on standard input and output ";

/// The end of a nsss daemon's help.
pub const DAEMON_END: &str = "
As root it becomes the client first (IPCREMOTEEUID, IPCREMOTEEGID).
NSSSD_TIMEOUT: milliseconds for each read or write of an exchange (0: no limit).
Exit codes: 0 end of the client, 1 no nsss client, 100 usage, 111 system.
";

/// Options of both servers; then comes [`CHECK`].
pub const SERVER: &str = "\
  -q, -v     quiet; tell of each connection
  -1         print a newline when clients can be served
  -c MAX     most connections (256, at most 8192); others wait
  -G GIDS, -g GID, -u UID  change groups, group, user after binding
";

/// Of servers and nsssd-switch.
pub const CHECK: &str = if cfg!(feature = "diagnosis") {
    "  --check    print the sources, try each, and exit: 0 good, 1 not\n"
} else {
    ""
};

/// The end of a server's help.
pub const SERVER_END: &str = "
Also understood: NOTIFY_SOCKET, LISTEN_FDS (then no socket is bound).
Signals: TERM exit, HUP end all connections, QUIT both, ABRT kill and exit.
Exit codes: 0 ended by a signal, 100 usage, 111 system.
";
