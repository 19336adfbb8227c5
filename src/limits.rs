//! Every limit of the program, with its reason.

/// Backends of one switch, as in nsss. For more, one of them is another switch.
pub const BACKENDS: usize = 8;

/// Distinct groups of one user that a merge (`nsssd-switch -m`) keeps: 16 KiB. The kernel
/// takes 65,536, but people are in tens.
pub const MERGED_GROUPS: usize = 4096;

/// Groups that a merge asks a foreign backend for, some of which may be named twice: as many as
/// the kernel lets a process have. nsss's own daemon takes four bytes of memory for each asked.
pub const ASKED_BY_MERGE: u64 = 65_536;

/// Smaller uids are those of the machine itself, which its local files have: people begin at 1000
/// (login.defs of all distributions). `--min-uid` sets another.
pub const MIN_UID: u32 = 1000;

/// A reply up to this size is sent as one piece; a larger record is streamed.
pub const REPLY_PIECE: usize = 4096;

/// What is kept of a file, and read of a larger one at a time.
pub const WINDOW: usize = 32 * 1024;

/// First read where one line is expected: most lines are far shorter, few are longer.
pub const ONE_LINE: usize = 4096;

/// Bytes of files that are read for one client before others get their turn: about a
/// millisecond's work.
pub const TURN: u64 = 2 * 1024 * 1024;

/// How often a search starts again because its file was replaced meanwhile.
pub const RESTARTS: u8 = 4;

/// Connections of a socket of ipcserver or nscd, default and most.
pub const CONNECTIONS: (u32, u32) = (256, 8192);

/// Milliseconds that a client may take, since its last progress, to send the rest of a request
/// or to take more of a reply. Only for what is served in one process, where a client that
/// stops holds a place of the table; NSSSD_TIMEOUT sets another. It is no deadline for our
/// answer, which waits for nothing.
pub const CLIENT_MILLIS: u32 = 1000;

/// Connections of one user to nscd, which are short: over it, his oldest one without a complete
/// request gives way.
pub const NSCD_PER_UID: u32 = 64;

/// Milliseconds for a client of nscd to send its request, since it came. Both C libraries send
/// it with the connect.
pub const REQUEST_MILLIS: u32 = 1000;

/// Milliseconds until the first byte of nscd's answer, by default, and most: glibc waits 5 s,
/// musl for ever.
pub const LOOKUP_MILLIS: (u32, u32) = (200, 4000);

/// Processes of a server for sources that may block, each with connections of its own to them.
pub const WORKERS: usize = 4;

/// As many besides may be kept by clients who enumerate: an enumeration stays with one process.
pub const KEPT_WORKERS: usize = 4;

/// Milliseconds after which one that is kept, and was not asked for so long, is given to somebody
/// else who enumerates.
pub const KEPT_IDLE_MILLIS: u64 = 1000;

/// Milliseconds for a whole reply of a source that may block, after its deadline: a client that
/// reads slowly keeps one of the few workers.
pub const SLOW_REPLY_MILLIS: u32 = 5000;

/// Milliseconds for a whole exchange with nslcd, by default; nsss's has none. nslcd itself
/// waits 10 s for an LDAP server that is away before it says so.
pub const NSLCD_MILLIS: u32 = 5000;

/// What is read of nslcd at a time: a few entries. Each enumeration has such a buffer.
pub const NSLCD_INPUT: usize = 1024;

/// Bytes of a file that getent reads by itself: /etc/hosts as a list of all that is to be blocked
/// has some 10 MiB.
pub const DATABASE: usize = 64 * 1024 * 1024;
