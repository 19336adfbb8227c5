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

/// What is sent of a list at a time to who takes it: a system call costs as much as some ten
/// records of it.
pub const LIST_PIECE: usize = 32 * 1024;

/// What is kept of a file, and read of a larger one at a time.
pub const WINDOW: usize = 32 * 1024;

/// First read where one line is expected: most lines are far shorter, few are longer.
pub const ONE_LINE: usize = 1024;

/// Bytes of files that are looked at for one client before others get their turn: about a
/// millisecond's work. What costs more than to be looked at counts as bytes, too.
pub const TURN: u64 = 2 * 1024 * 1024;

/// A line that is parsed to see whether it is wanted counts as so many bytes besides its own.
pub const CANDIDATE: usize = 512;

/// A reply, or a piece of one, that is sent counts as so many bytes.
pub const PIECE_SENT: u64 = 12 * 1024;

/// When so many have something to do, those who look for a line of a large file are served by one
/// pass over it, which costs about as much as two searches.
pub const CROWD: usize = 4;

/// How often a search starts again because its file was replaced meanwhile.
pub const RESTARTS: u8 = 4;

/// Connections of a socket of ipcserver or nscd, default and most.
pub const CONNECTIONS: (u32, u32) = (256, 8192);

/// Milliseconds that a client may take, since its last progress, to send the rest of a request
/// or to take more of a reply. Only for what is served in one process, where a client that
/// stops holds a place of the table; NSSSD_TIMEOUT sets another. It is no deadline for our
/// answer, which waits for nothing.
pub const CLIENT_MILLIS: u32 = 1000;

/// Connections of one user that nscd serves at a time. Those above it wait in a room.
pub const NSCD_PER_UID: u32 = 64;

/// Connections to nscd that wait until they are served, over `-c` and `-C`, or until their request
/// is complete: each takes 2.0 KiB once the place was used, so 4.0 MiB if all ever were. Fewer where
/// fewer descriptors are allowed.
pub const NSCD_ROOM: u32 = 2048;

/// Where there is room for fewer, nobody who has asked is closed to make some: a burst of one uid
/// waits in the kernel's queue, and whoever else comes behind it.
pub const SMALL_ROOM: u32 = 512;

/// Milliseconds from accepting a client of nscd until its answer begins, waiting included: glibc
/// gives up at 5 s.
pub const NSCD_ANSWER_MILLIS: u32 = 4000;

/// Bytes of both shared maps of nscd together, by default: 10,000 users and as many groups take about
/// five million.
pub const SHARED_BYTES: usize = 8 * 1024 * 1024;

/// MiB that can be asked for.
pub const SHARED_MIB: u32 = 1024;

/// Users of a shared map, by default: while it is made, others wait a little.
pub const SHARED_USERS: u32 = 10_000;

/// Milliseconds of processor time that making both may take. (A build for tests takes many times as
/// long.)
pub const SHARED_MILLIS: u32 = if cfg!(debug_assertions) { 10_000 } else { 200 };

/// Where a machine has less memory, there is no shared map unless it is asked for.
pub const SHARED_MEMORY: u64 = 60 * 1024 * 1024;

/// Clients of userdb that may be silent, rest between two calls or wait for being served, at a time (no
/// small room, so that who is silent gives way at once):
/// 9 KiB each once the place was used.
pub const USERDB_ROOM: u32 = 512;

/// How long a client of userdb may be silent between two calls. The stock ones make one, and close.
pub const USERDB_IDLE_MILLIS: u32 = 5000;

/// How long one may stop in a list of userdb: a program may do something with each entry, and takes an
/// end for the end of the list.
pub const USERDB_LIST_MILLIS: u32 = 60_000;

/// How long a whole list may keep a worker, as long as nobody else needs it: who does gets it from a
/// client that does not read.
pub const USERDB_WHOLE_LIST_MILLIS: u32 = 3_600_000;

/// Milliseconds for all replies in hand when a server is told to end.
pub const ENDING_MILLIS: u64 = 5000;

/// The same when another executable takes over: clients that come meanwhile wait for it, and the C
/// libraries do without after five seconds.
pub const RENEWAL_MILLIS: u64 = 2000;

/// Milliseconds for a client of nscd to send its request, since it came. Both C libraries send
/// it with the connect.
pub const REQUEST_MILLIS: u32 = 1000;

/// Milliseconds for a source that may block to begin its answer, by default, and most.
pub const LOOKUP_MILLIS: (u32, u32) = (200, NSCD_ANSWER_MILLIS);

/// Milliseconds more for a worker or a program to get going, on a machine that is busy with the
/// crowd of those who ask.
pub const START_MILLIS: u32 = 1000;

/// Processes of a server for sources that may block, each with connections of its own to them.
/// A uid has at most half of them at a time.
pub const WORKERS: usize = 8;

/// Most clients who are answered from one lookup, where they ask the same of such a source.
pub const SHARE_LOOKUP: usize = 32;

/// As many besides may be kept by clients who enumerate: an enumeration stays with one process.
pub const KEPT_WORKERS: usize = 8;

/// Milliseconds after which one that is kept, and was not asked for so long, is given to somebody
/// else who enumerates.
pub const KEPT_IDLE_MILLIS: u64 = 1000;

/// Milliseconds for a whole reply of a source that may block, after its deadline: a client that
/// reads slowly keeps one of the few workers.
pub const SLOW_REPLY_MILLIS: u32 = 5000;

/// The largest file of ssh keys of one user, in bytes: some hundred keys.
pub const KEY_FILE: u64 = 64 * 1024;

/// Milliseconds for a whole exchange with nslcd, by default; nsss's has none. nslcd itself
/// waits 10 s for an LDAP server that is away before it says so.
pub const NSLCD_MILLIS: u32 = 5000;

/// What is read of nslcd at a time: a few entries. Each enumeration has such a buffer.
pub const NSLCD_INPUT: usize = 1024;

/// Bytes of a file that getent reads by itself: /etc/hosts as a list of all that is to be blocked
/// has some 10 MiB.
pub const DATABASE: usize = 64 * 1024 * 1024;

/// Bytes of nsscache.conf: real ones have a few thousand.
pub const DIRECTORY_CONFIG: usize = 1024 * 1024;

/// Bytes of a file that holds a password or a private key.
pub const DIRECTORY_SECRET: usize = 64 * 1024;

/// Bytes of a file of certificates: those of all public authorities have 230 KB.
pub const DIRECTORY_CERTIFICATES: usize = 4 * 1024 * 1024;

/// Bytes of an entry of a directory: a group with a million members.
pub const DIRECTORY_LINE: usize = NSCD_REPLY;

/// Bytes of a map as a source sends it, and unpacked: a million users have 72 MB.
pub const DIRECTORY_BODY: u64 = 1024 * 1024 * 1024;

/// How many times its size a packed body may unpack to, over 1 MiB: account files come to some 20 times,
/// and bombs to a thousand.
pub const DIRECTORY_RATIO: u64 = 200;

/// Entries of a map whose name comes again: more are no slips.
pub const DIRECTORY_REPEATED: usize = 100_000;

/// Seconds that a directory may be silent, where ldap_timelimit does not say.
pub const LDAP_SECONDS: u64 = 60;

/// Seconds for a connection to a directory.
pub const LDAP_CONNECT_SECONDS: u64 = 10;

/// Bytes that are received of a directory at a time.
pub const LDAP_WINDOW: usize = 32 * 1024;

/// Bytes of a message that is no entry, and of a value in an entry.
pub const LDAP_MESSAGE: usize = 1024 * 1024;

/// Bytes of an entry: a group of some three million members.
pub const LDAP_ENTRY: u64 = 256 * 1024 * 1024;

/// Bytes of a filter as it goes over the wire.
pub const LDAP_FILTER: usize = 16 * 1024;

/// Bytes of a cookie of synchronization: OpenLDAP's have some 60 for each of its servers.
pub const LDAP_COOKIE: usize = 16 * 1024;

/// Entries of a page: Active Directory allows no more.
pub const LDAP_PAGE: u32 = 1000;

/// Groups whose members are looked up by DN: 8 bytes each are kept.
pub const LDAP_GROUPS: usize = 1_000_000;

/// Members that are looked up one by one, since they are not where users are.
pub const LDAP_STRAY: u64 = 10_000;

/// Seconds between two looks at a source that does not tell of changes.
pub const WATCH_SECONDS: u64 = 300;

/// Milliseconds without a change that end a burst, and for which one is gathered at most.
pub const WATCH_QUIET_MILLIS: u64 = 100;
/// See there.
pub const WATCH_BURST_MILLIS: u64 = 2000;

/// Seconds until what failed is tried again, at most.
pub const WATCH_BACKOFF_SECONDS: u64 = 300;

/// Milliseconds that `nsscache watch` waits for an update of somebody else to end.
pub const WATCH_LOCK_MILLIS: u64 = 60_000;

/// Milliseconds that an update waits for `nsscache watch`, which has the lock while it writes.
pub const UPDATE_LOCK_MILLIS: u64 = 10_000;

/// Bytes of the stack of a map's thread.
pub const WATCH_STACK: usize = 512 * 1024;

/// Bytes of the head of an HTTP answer.
pub const DIRECTORY_HEADER: usize = 32 * 1024;

/// Bytes that are read of what a server says of an error, and of an answer that is no map.
pub const DIRECTORY_ANSWER: u64 = 64 * 1024;

/// Changes that a source tells of and that are held until they are written: their bytes. More: the map
/// is fetched whole.
pub const DIRECTORY_CHANGES: usize = 16 * 1024 * 1024;

/// Pages of a source that hands out a map by pages: with 100 users a page 10 million.
pub const DIRECTORY_PAGES: u64 = 100_000;

/// Seconds for a whole HTTP exchange, as in Google's nsscache.
pub const HTTP_SECONDS: u64 = 60;

/// Seconds for a command that prints a map, or is run behind an update.
pub const COMMAND_SECONDS: u64 = 60;

/// Milliseconds until a snapshot is asked for again that was not whole: an upload is under way, or a cache
/// has the one half of it.
#[cfg(feature = "signed")]
pub const SNAPSHOT_AGAIN_MILLIS: u64 = 2000;

/// Seconds after which a snapshot counts as held back: 7 days.
#[cfg(feature = "signed")]
pub const SNAPSHOT_AGE_SECONDS: i64 = 7 * 86_400;

/// Seconds that two clocks may be apart before it is worth a word.
#[cfg(feature = "signed")]
pub const SNAPSHOT_SKEW_SECONDS: i64 = 60;

/// The most hours that `export --renew` takes: a year.
#[cfg(feature = "signed")]
pub const EXPORT_RENEW_HOURS: u64 = 24 * 366;

/// Seconds, and exports, for which a file of an export stays that is no longer listed: whoever has just
/// read an older list still gets it.
#[cfg(feature = "signed")]
pub const EXPORT_STAYS: (i64, u64) = (86_400, 2);

/// The largest file whose names and numbers are indexed: some 65,000 users. A power of two, of
/// which an index keeps offsets.
pub const INDEXED_FILE: u64 = 4 * 1024 * 1024;

/// Most slots of an index, each of four bytes: 512 KiB, of which 5,000 users take 64.
pub const INDEX_SLOTS: usize = 128 * 1024;

/// Milliseconds between two looks for files that are open and not used, while there are any.
pub const IDLE_LOOK_MILLIS: u64 = 80;

/// After so many looks, and before the next one, such a file is closed: after 240 ms at most, since
/// an open file keeps its file system from being unmounted, and one that was replaced keeps it from
/// being made read-only.
pub const IDLE_LOOKS: u8 = 2;

/// Milliseconds that getent, id, groups and whoami wait for a server to say something: as many as
/// glibc waits for nscd.
pub const ANSWER_MILLIS: u32 = 5000;

/// Milliseconds for all of its answer: one that says a byte now and then is no better.
pub const WHOLE_ANSWER_MILLIS: u32 = 60_000;

/// Bytes of an nscd's reply that they take: a group with a million members.
pub const NSCD_REPLY: usize = 16 * 1024 * 1024;

/// Groups of one user that they print: as many as the kernel lets a process have.
pub const USER_GROUPS: usize = 65_536;

/// Bytes of a name that id, groups and whoami keep: names have tens of them.
pub const ACCOUNT_NAME: usize = 64 * 1024;

/// Bytes of a record that getent keeps to see whether all of it can be printed: a group with a
/// million members.
pub const PRINTED_RECORD: usize = NSCD_REPLY;

/// Bytes of a line of a file that is indexed: a group with a million members. A file with a longer
/// one has no indexes.
#[cfg(feature = "nsscache")]
pub const INDEXED_LINE: usize = 16 * 1024 * 1024;

/// Groups of a user that are counted for an index: of more than some 8,000 it holds none.
#[cfg(feature = "nsscache")]
pub const INDEXED_GROUPS: usize = 32 * 1024;

/// Bytes of keys that a sort keeps before it writes them to a temporary file: two sorts run at a time,
/// and all of indexing is to take 8 MiB at most.
#[cfg(feature = "nsscache")]
pub const SORT_ROOM: usize = 768 * 1024;

/// Bytes that are read at a time of each run of a sort: a million users make some thirty runs.
#[cfg(feature = "nsscache")]
pub const SORT_READ: usize = 16 * 1024;

/// Milliseconds between the removal of old indexes and the arrival of new data: libnss-cache opens an
/// index, and then the data. In 227 of 1,000 updates without such a pause it took a line of the one for
/// one of the other; with 20 ms in none.
#[cfg(feature = "nsscache")]
pub const INDEX_GRACE_MILLIS: u64 = 20;

/// How often indexing begins anew because the data was replaced meanwhile.
#[cfg(feature = "nsscache")]
pub const INDEX_TRIES: u32 = 5;

/// Bytes of an index of libnss-cache in which its first record ends, or it counts as damaged: such a
/// record would be wider than any key of ours by far.
#[cfg(any(feature = "nsssd-cache", feature = "nsscache"))]
pub const INDEX_FRONT: usize = WINDOW;

/// Bytes that are read where an index says that a line is: nearly all of users are shorter, and what is
/// not read is not copied.
#[cfg(feature = "nsssd-cache")]
pub const LIKELY_LINE: usize = 256;

/// Bytes of such an index that are read at once where its search ends, and all looked at: below it, one
/// more read costs more.
#[cfg(any(feature = "nsssd-cache", feature = "nsscache"))]
pub const INDEX_READ: usize = 2048;

/// Milliseconds after which it is looked whether another index has come, or one at all.
#[cfg(feature = "nsssd-cache")]
pub const INDEX_BELIEVED_MILLIS: u64 = 900;
