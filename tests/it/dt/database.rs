//! The database: other tools' lists, and changes that lose nothing.

use super::{Fleet, sorted, text};
use crate::support::wait_for_exit;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::process::Stdio;

#[test]
fn inventories_give_names_addresses_and_groups() {
    let fleet = Fleet::new("");
    fleet.dir.write(
        "inv",
        "[web]\nweb[01:02] ansible_host=10.0.0.7 ansible_port=2222 ansible_user=deploy\n\
         [prod:children]\nweb\n[all:vars]\nansible_ssh_common_args='-o ProxyCommand=touch made'\n",
    );
    let run = fleet.dt(&["-D", "ansible-ini:inv", "tag:prod", "ssh", "true"]);
    assert_eq!(text(&run), "okay::dt:ssh:deploy@10.0.0.7%3a2222:\n");
    assert!(fleet.calls()[0].starts_with("ssh|deploy|10.0.0.7|2222||"), "{:?}", fleet.calls());
    fleet.dir.write(
        "config",
        "Host db1\n HostName db.example\n User root\n ProxyCommand touch made\nHost w* !x\n Port 7\nHost web1\n\
         Host -oProxyCommand=touch\n",
    );
    let run = fleet.dt(&["-D", "ssh-config:config", "all:", "list"]);
    assert_eq!(sorted(&run), ["okay::dt:list:root@db.example:", "okay::dt:list:web1%3a7:"]);
    assert!(run.stderr.contains("left out -oProxyCommand=touch"), "{}", run.stderr);
    fleet.dir.write("genders", "n[1-3] rack=1,compute\nn2 gpu\n");
    let run = fleet.dt(&["-D", "genders:genders", "tag:rack=1-gpu", "list"]);
    assert_eq!(sorted(&run), ["okay::dt:list:n1:", "okay::dt:list:n3:"]);
    fleet.dir.write("keys", "[web1]:2222,10.0.0.1 ssh-ed25519 AAAA\n|1|x|y ssh-rsa B\n");
    let run = fleet.dt(&["-D", "known_hosts:keys", "all:", "list"]);
    assert_eq!(text(&run), "okay::dt:list:web1%3a2222:\n");
    let run = fleet.dt_with(&["-D", "genders:-", "all:", "list"], "a x\n");
    assert_eq!(text(&run), "okay::dt:list:a:\n");
    // A word that is no format is a file's name.
    fleet.dir.write("odd:name", "h1\n");
    assert_eq!(text(&fleet.dt(&["-D", "odd:name", "all:", "list"])), "okay::dt:list:h1:\n");
    assert!(fs::metadata(fleet.dir.join("made")).is_err(), "nothing of it was run");
}

#[test]
fn a_line_that_is_no_host_is_named_and_the_others_go_on() {
    let fleet = Fleet::new("");
    fleet.dir.write(
        "db",
        b"web1 a\n../../etc/passwd a\n$(touch made) a\n\x1b[31m a\n\xff\xfe a\n".as_slice(),
    );
    let run = fleet.dt(&["-D", "db", "tag:a", "list"]);
    assert_eq!(text(&run), "okay::dt:list:web1:\n");
    assert_eq!(run.stderr.lines().count(), 4, "{}", run.stderr);
    assert!(!run.stderr.contains('\u{1b}'), "{}", run.stderr);
}

#[test]
fn many_that_add_at_once_lose_nothing() {
    let fleet = Fleet::new("");
    fleet.dir.write("db", "# kept\nfirst a\n");
    let mut children = Vec::new();
    for n in 0..20 {
        let mut command = fleet.command("dt", &["-D", "db", &format!("sys:h{n}"), "add", "new"]);
        command.stdout(Stdio::null()).stdin(Stdio::null());
        children.push(command.spawn().unwrap());
    }
    for child in &mut children {
        assert_eq!(wait_for_exit(child).code(), Some(0));
    }
    let db = fs::read_to_string(fleet.dir.join("db")).unwrap();
    assert!(db.starts_with("# kept\nfirst a\n"), "{db}");
    assert_eq!(db.lines().count(), 22, "{db}");
}

#[test]
fn mode_and_links_stay_as_they_are() {
    let fleet = Fleet::new("");
    fleet.dir.write("real", "a x\r\nb y\n");
    fleet.dir.chmod("real", 0o640);
    symlink("real", fleet.dir.join("db")).unwrap();
    let run = fleet.dt(&["-D", "db", "sys:{a,b,c}", "tag", "+new", "-y"]);
    assert_eq!(run.code, Some(1));
    assert_eq!(
        sorted(&run),
        ["fail::dt:tag:c:not in the database", "okay::dt:tag:a:", "okay::dt:tag:b:"]
    );
    assert_eq!(fs::read_to_string(fleet.dir.join("real")).unwrap(), "a x new\r\nb new\n");
    assert!(fs::symlink_metadata(fleet.dir.join("db")).unwrap().file_type().is_symlink());
    let meta = fs::metadata(fleet.dir.join("real")).unwrap();
    assert_eq!(meta.permissions().mode() & 0o7777, 0o640);
    assert!(meta.size() > 0);
}

#[test]
fn a_database_that_cannot_be_written_stays() {
    let fleet = Fleet::new("");
    fleet.dir.write("db", "a x\n");
    let mut command = std::process::Command::new("sh");
    let dt = fleet.command("dt", &[]);
    // As a full disk.
    command.args(["-c", "ulimit -f 0; exec \"$@\"", "sh"]).arg(dt.get_program());
    command.args(["-D", "db", "sys:b", "add"]).current_dir(fleet.dir.path());
    let run = crate::support::run_to_end(command);
    assert_eq!(run.code, Some(2), "{} {}", text(&run), run.stderr);
    assert_eq!(fs::read_to_string(fleet.dir.join("db")).unwrap(), "a x\n");
    let left = fs::read_dir(fleet.dir.path()).unwrap().map(|e| e.unwrap().file_name());
    assert!(!left.into_iter().any(|name| name.to_string_lossy().contains(".dt.")));
}

#[test]
fn patterns_that_ask_for_too_much_are_refused() {
    let fleet = Fleet::new("");
    for pattern in [
        "sys:n[1-4000000000]",
        "sys:{1..999}{1..999}{1..999}",
        "exp:\\(",
        "not:",
        "tga:x",
        "sys:a/b",
    ] {
        let run = fleet.dt(&[pattern, "list"]);
        assert!(
            run.code == Some(2) && run.stderr.starts_with("fail::dt:"),
            "{pattern}: {}",
            run.stderr
        );
    }
}
