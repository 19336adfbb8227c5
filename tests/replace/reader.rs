//! nsssd-cache, asked about the users of the sets; each answer is judged.

use crate::sets::Set;
use crate::support::stage::Stage;
use crate::support::{Daemon, by_id, by_name, grouplist, op};

/// What was asked, and how it ended.
#[derive(Clone, Copy, Debug, Default)]
pub struct Count {
    pub lookups: u64,
    pub of: [u64; 2],
}

pub struct Reader {
    daemon: Daemon,
    pub count: Count,
}

impl Reader {
    #[track_caller]
    pub fn new(stage: &Stage) -> Reader {
        let mut command = stage.applet("nsssd-cache");
        command.args(["-d", stage.dir.as_str()]);
        Reader { daemon: Daemon::start(command), count: Count::default() }
    }

    /// The line that a request brings. A failure is one of the test.
    #[track_caller]
    fn ask(&self, request: &[u8]) -> Option<String> {
        self.daemon.send(request);
        match self.daemon.recv_exact(1)[0] {
            0 => {}
            255 => return None,
            status => panic!("status {status} for {request:02x?}"),
        }
        let head = self.daemon.recv_exact(12);
        let word = |at: usize| u32::from_be_bytes(head[at..at + 4].try_into().unwrap());
        let area = self.daemon.recv_exact(word(8) as usize);
        let s: Vec<&str> =
            area.split(|b| *b == 0).map(|s| std::str::from_utf8(s).unwrap()).collect();
        Some(format!("{}:{}:{}:{}:{}:{}:{}", s[0], s[1], word(0), word(4), s[2], s[3], s[4]))
    }

    #[track_caller]
    fn judge(&mut self, what: &str, got: Option<&str>, a: Option<&str>, b: Option<&str>) {
        self.count.lookups += 1;
        assert!(got == a || got == b, "{what}: {got:?} is neither {a:?} nor {b:?}");
        if a != b {
            self.count.of[usize::from(got == b)] += 1;
        }
    }

    /// Asks about one user by name and both uids.
    #[track_caller]
    pub fn user(&mut self, user: u32) {
        let both = [Set::A, Set::B].map(|set| set.line(user));
        let got = self.ask(&by_name(op::PWD_GETBYNAME, format!("user{user}")));
        self.judge(&format!("user{user}"), got.as_deref(), both[0].as_deref(), both[1].as_deref());
        for uid in [10_000 + user, 20_000 + user] {
            let both = [Set::A, Set::B].map(|set| set.line_of_uid(uid));
            let got = self.ask(&by_id(op::PWD_GETBYUID, uid));
            self.judge(
                &format!("uid {uid}"),
                got.as_deref(),
                both[0].as_deref(),
                both[1].as_deref(),
            );
        }
    }

    /// Asks for the groups of a user.
    #[track_caller]
    pub fn groups(&mut self, user: u32) {
        let both = [Set::A, Set::B].map(|set| format!("{:?}", set.groups(user)));
        self.daemon.send(&grouplist(1000, format!("user{user}")));
        let status = self.daemon.recv_exact(1)[0];
        if status == 11 {
            // The list was replaced while it was collected: nothing was told.
            return;
        }
        assert_eq!(status, 0, "groups of user{user}");
        let head = self.daemon.recv_exact(16);
        let count = u64::from_be_bytes(head[8..].try_into().unwrap());
        let gids = self.daemon.recv_exact(4 * count as usize);
        let gids: Vec<u32> =
            gids.chunks_exact(4).map(|gid| u32::from_be_bytes(gid.try_into().unwrap())).collect();
        self.judge(
            &format!("groups of user{user}"),
            Some(&format!("{gids:?}")),
            Some(&both[0]),
            Some(&both[1]),
        );
    }
}
