//! `nsscache watch`.

use super::slapd::{Slapd, Sync, no_ldapmodify};
use crate::support::directory::{Machine, no_machine};
use crate::support::{wait_for_exit, wait_until};
use rustix::process::{Pid, Signal, kill_process};
use std::io::Read;
use std::process::{Child, Stdio};

/// Configured as a site would: users and groups of the vectors' directory.
pub fn config(slapd: &Slapd, more: &str) -> String {
    format!(
        "[DEFAULT]\nsource = ldap\ncache = files\nmaps = passwd, group\ntimestamp_dir = /var/lib/nsscache\n\
         lockfile = /run/nsscache.lock\nfiles_dir = /etc\nldap_uri = {}\nldap_base = ou=people,dc=example,dc=org\n\
         ldap_filter = (objectClass=posixAccount)\nldap_retry_max = 1\nldap_retry_delay = 0\n{more}\n[group]\n\
         ldap_base = ou=group,dc=example,dc=org\nldap_filter = (objectClass=posixGroup)\n",
        slapd.uri()
    )
}

/// A watch that runs, killed when it is dropped.
pub struct Running(pub Child);

impl Running {
    #[track_caller]
    pub fn start(machine: &Machine) -> Running {
        let mut command = machine.shell("exec \"$0\" nsscache watch -1 2>>/run/watch.log");
        command.stdout(Stdio::piped()).stdin(Stdio::null());
        let mut child = command.spawn().expect("watch");
        let mut byte = [0; 1];
        child.stdout.take().unwrap().read_exact(&mut byte).expect("it tells that it is ready");
        Running(child)
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).expect("a child takes a signal");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn shell_of_bob(shell: &str) -> String {
    format!(
        "dn: uid=bob,ou=people,dc=example,dc=org\nchangetype: modify\nreplace: loginShell\nloginShell: {shell}\n"
    )
}

/// Add, change, rename, delete, through restarts of the server, with each way to hear of them.
#[test]
fn changes_are_seen_as_they_come() {
    let test = "changes_are_seen_as_they_come";
    if no_machine(test) || no_ldapmodify(test) {
        return;
    }
    for sync in [Sync::SessionLog, Sync::Plain, Sync::No] {
        let Some(mut slapd) = Slapd::start(test, sync, "") else { return };
        let machine = Machine::with(&config(&slapd, "watch_interval = 1"));
        let watch = Running::start(&machine);
        let text = || machine.text("passwd.cache");
        let line = |text: &str, front: &str| text.lines().any(|line| line.starts_with(front));
        slapd.change(&shell_of_bob("/bin/one"));
        wait_until("bob's shell is another", || text().contains(":/bin/one\n"));
        slapd.change(
            "dn: uid=newbie,ou=people,dc=example,dc=org\nchangetype: add\nobjectClass: account\n\
             objectClass: posixAccount\nuid: newbie\ncn: New\nuidNumber: 19999\ngidNumber: 20000\n\
             homeDirectory: /home/newbie\n",
        );
        wait_until("newbie is there", || line(&text(), "newbie:x:19999:"));
        slapd.change(
            "dn: uid=newbie,ou=people,dc=example,dc=org\nchangetype: modrdn\nnewrdn: uid=oldie\ndeleteoldrdn: 1\n",
        );
        wait_until("newbie is oldie", || {
            line(&text(), "oldie:x:19999:") && !line(&text(), "newbie:")
        });
        slapd.change("dn: uid=oldie,ou=people,dc=example,dc=org\nchangetype: delete\n");
        wait_until("oldie is gone", || !line(&text(), "oldie:"));
        // Away for a while, and other than before.
        slapd.stop();
        slapd.resume();
        slapd.change("dn: uid=carol,ou=people,dc=example,dc=org\nchangetype: delete\n");
        watch.signal(Signal::USR1);
        wait_until("carol is gone", || !line(&text(), "carol:"));
        // Somebody else updates meanwhile.
        machine.expect(0, &["update"]);
        machine.expect(0, &["update", "--full"]);
        slapd.change(&shell_of_bob("/bin/two"));
        wait_until("bob's shell is another", || text().contains(":/bin/two\n"));
        // The configuration is read anew: a bad one is not taken.
        let good = config(&slapd, "watch_interval = 1");
        machine.config("[DEFAULT]\nsource = nosuch\n");
        watch.signal(Signal::HUP);
        slapd.change(&shell_of_bob("/bin/three"));
        wait_until("bob's shell is another", || text().contains(":/bin/three\n"));
        machine.config(
            &good.replace("maps = passwd, group", "maps = passwd\nldap_override_shell = /bin/all"),
        );
        watch.signal(Signal::HUP);
        wait_until("all have another shell", || {
            text().lines().all(|line| line.ends_with(":/bin/all"))
        });
        let status = machine.expect(0, &["status", "--json", "-m", "passwd"]).stdout;
        let status: serde_json::Value = serde_json::from_slice(&status).unwrap();
        let does = if sync == Sync::No { "asks every 1 s" } else { "follows the source" };
        assert_eq!(status[0]["watch"], does, "{sync:?}");
        // What it has is what there is.
        let before = text();
        machine.expect(0, &["update", "--full"]);
        let sorted = |text: &str| {
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            lines.sort();
            lines
        };
        assert_eq!(sorted(&before), sorted(&text()), "{sync:?}");
        // Only one watches.
        machine.expect(200, &["watch"]);
        let mut watch = watch;
        watch.signal(Signal::TERM);
        assert!(wait_for_exit(&mut watch.0).success());
        let status = machine.expect(0, &["status", "--json", "-m", "passwd"]).stdout;
        let status: serde_json::Value = serde_json::from_slice(&status).unwrap();
        assert_eq!(status[0]["watch"], serde_json::Value::Null);
    }
}

/// A set that shrank too much is refused, whoever asks; once it is accepted, watch goes on from there.
#[test]
fn half_of_all_users_are_not_dropped_unasked() {
    let test = "half_of_all_users_are_not_dropped_unasked";
    if no_machine(test) || no_ldapmodify(test) {
        return;
    }
    let Some(slapd) = Slapd::start(test, Sync::SessionLog, "") else { return };
    let machine = Machine::with(&config(&slapd, ""));
    let _watch = Running::start(&machine);
    let names = |machine: &Machine| -> Vec<String> {
        let text = machine.text("passwd.cache");
        text.lines().map(|line| line.split(':').next().unwrap().to_owned()).collect()
    };
    let before = names(&machine);
    let gone: String = before[..before.len() / 2]
        .iter()
        .map(|name| format!("dn: uid={name},ou=people,dc=example,dc=org\nchangetype: delete\n\n"))
        .collect();
    slapd.change(&gone);
    wait_until("watch tells of it", || {
        let status = machine.expect(0, &["status", "--json", "-m", "passwd"]).stdout;
        String::from_utf8_lossy(&status).contains("max_shrink")
    });
    assert_eq!(names(&machine), before);
    let finished = machine.expect(1, &["update", "-m", "passwd"]);
    assert!(finished.stderr.contains("--accept-shrink"), "{}", finished.stderr);
    machine.expect(0, &["update", "--accept-shrink", "-m", "passwd"]);
    assert_eq!(names(&machine), before[before.len() / 2..]);
}
