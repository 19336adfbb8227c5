//! The example of doc/fleet.md: slapd, one exporter that asks it, nginx, and many boards.

use crate::ldap::slapd::{Slapd, Sync, no_ldapmodify};
use crate::support::directory::Machine;
use crate::support::page::blocks;
use crate::support::snapshot::no_minisign;
use crate::support::{TempDir, peer, run_to_end, wait_until};
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;

const BOARDS: usize = 20;

/// A process that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A file of doc/examples/fleet.
fn example(name: &str) -> String {
    fs::read_to_string(format!("{}/doc/examples/fleet/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// nginx as the example has it, on another port and of another folder.
#[track_caller]
fn nginx(test: &str, dir: &TempDir, www: &Path, port: u16) -> Option<Running> {
    let program = peer(test, "nginx", "usr/sbin/nginx")?;
    let base = dir.as_str();
    let mut temp = String::new();
    for kind in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
        temp += &format!("{kind}_temp_path {base}/{kind};\n");
    }
    let server = example("nginx.conf")
        .replace("listen 80;", &format!("listen 127.0.0.1:{port};"))
        .replace("root /srv/nsscache;", &format!("root {};", www.display()));
    assert!(server.contains(&port.to_string()) && server.contains(www.to_str().unwrap()));
    let config = format!(
        "user root; daemon off; master_process off; pid {base}/pid; error_log {base}/error.log;\nevents {{}}\n\
         http {{ {temp} log_format seen '$status $uri'; access_log {base}/seen seen;\n{server} }}\n"
    );
    let mut command = Command::new(program);
    command.arg("-p").arg(dir.path()).arg("-e").arg(dir.join("error.log"));
    command.arg("-c").arg(dir.write("nginx.conf", config));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let running = Running(command.spawn().unwrap());
    wait_until("nginx listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
    Some(running)
}

/// Pastes the blocks of the page that need this, where its files are in /run/example.
#[track_caller]
fn paste(machine: &Machine, needs: &str, conf: &str, text: &str) {
    if !machine.dir.join("run/example").exists() {
        machine.dir.subdirectory("run/example");
        machine.dir.subdirectory("run/bin");
    }
    machine.dir.write(&format!("run/example/{conf}"), text);
    let page = blocks("doc/fleet.md");
    let pasted: Vec<_> = page.iter().filter(|block| block.needs == needs).collect();
    assert!(!pasted.is_empty(), "no block needs {needs}");
    for block in pasted {
        let commands = block
            .text
            .replace("doc/examples/fleet", "/run/example")
            .replace("/srv/nsscache", "/run/www");
        let script = format!(
            "ln -sf \"$0\" /run/bin/nsscache; export PATH=/run/bin:$PATH; set -e\n{commands}"
        );
        let done = run_to_end(machine.shell(&script));
        assert_eq!(done.code, Some(0), "line {}: {}", block.line, done.stderr);
    }
}

#[test]
fn one_machine_asks_the_directory_and_many_boards_ask_it() {
    let test = "one_machine_asks_the_directory_and_many_boards_ask_it";
    if no_minisign(test) || no_ldapmodify(test) {
        return;
    }
    let Some(slapd) = Slapd::start(test, Sync::SessionLog, "") else { return };
    let exporter = Machine::new();
    let www = exporter.dir.join("run/www");
    let (dir, port) = (TempDir::new(), TcpListener::bind("127.0.0.1:0").unwrap());
    let port = { port }.local_addr().unwrap().port();
    let conf = example("exporter.conf")
        .replace("ldap://ldap.example.org", &slapd.uri())
        .replace("/srv/nsscache", "/run/www");
    // Twice: what is there already does not hold it up.
    for _ in 0..2 {
        paste(&exporter, "nginx", "exporter.conf", &conf);
    }
    let Some(_nginx) = nginx(test, &dir, &www, port) else { return };
    let url = format!("http://127.0.0.1:{port}/snapshot");
    let conf = example("board.conf").replace("http://directory.example.org/snapshot", &url);
    let boards: Vec<Machine> = (0..BOARDS).map(|_| Machine::new()).collect();
    let key = exporter.read("nsscache.pub").unwrap();
    let each = |work: &(dyn Fn(&Machine) + core::marker::Sync)| {
        thread::scope(|scope| {
            for part in boards.chunks(BOARDS / 4) {
                scope.spawn(move || part.iter().for_each(work));
            }
        });
    };
    each(&|board| {
        fs::write(board.etc("nsscache.pub"), &key).unwrap();
        paste(board, "board", "board.conf", &conf);
    });
    let assert_same = || {
        for name in ["passwd.cache", "group.cache", "passwd.cache.ixuid"] {
            let want = exporter.read(name).unwrap();
            assert!(boards.iter().all(|board| board.read(name).unwrap() == want), "{name}");
        }
    };
    assert_same();
    // A change of the directory: `watch` brings it, and exports it.
    let script = "export PATH=/run/bin:$PATH; exec \"$0\" nsscache watch -1";
    let mut command = exporter.shell(script);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut watch = Running(command.spawn().unwrap());
    std::io::Read::read_exact(watch.0.stdout.as_mut().unwrap(), &mut [0]).unwrap();
    slapd.change(
        "dn: uid=bob,ou=people,dc=example,dc=org\nchangetype: modify\nreplace: loginShell\nloginShell: /bin/other\n",
    );
    let list = || fs::read_to_string(www.join("snapshot")).unwrap();
    let is_exported = || {
        list().lines().any(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            words[0] == "passwd"
                && fs::read_to_string(www.join(format!("passwd-{}", words[1])))
                    .is_ok_and(|text| text.contains(":/bin/other\n"))
        })
    };
    wait_until("the change is exported", is_exported);
    each(&|board| drop(board.expect(0, &["update"])));
    assert_same();
    assert!(boards[0].text("passwd.cache").contains(":/bin/other\n"));
    // Nobody else asked the directory anything.
    let seen = || fs::read_to_string(dir.join("seen")).unwrap_or_default();
    let unchanged = || seen().lines().filter(|line| *line == "304 /snapshot").count();
    each(&|board| drop(board.expect(0, &["update"])));
    wait_until("each board asked, and nothing was new", || unchanged() >= BOARDS);
    // Exports that follow one another at once are told apart by nginx, too.
    drop(watch);
    for gecos in ["One", "Two", "Six"] {
        let text = exporter.text("passwd.cache");
        let (front, behind) = text.split_once('\n').unwrap();
        let mut fields: Vec<&str> = front.split(':').collect();
        fields[4] = gecos;
        fs::write(exporter.etc("passwd.cache"), format!("{}\n{behind}", fields.join(":"))).unwrap();
        exporter.expect(0, &["export", "-k", "/etc/nsscache.key", "/run/www"]);
        boards[0].expect(0, &["update"]);
        assert_eq!(boards[0].read("passwd.cache"), exporter.read("passwd.cache"), "{gecos}");
    }
    // Whoever has the web server cannot make users.
    let text = list();
    let name = text.lines().find_map(|line| line.strip_prefix("passwd ")).unwrap();
    let name = format!("passwd-{}", name.split(' ').next().unwrap());
    let forged = fs::read_to_string(www.join(&name)).unwrap().replace("/bin/other", "/bin/owned");
    let sum = crate::support::snapshot::sum(forged.as_bytes());
    fs::write(www.join(format!("passwd-{sum}")), &forged).unwrap();
    fs::write(www.join("snapshot"), text.replace(&name["passwd-".len()..], &sum)).unwrap();
    let before = boards[0].read("passwd.cache");
    let refused = boards[0].expect(75, &["update"]).stderr;
    assert!(refused.contains("the signature of the snapshot"), "{refused}");
    assert_eq!(boards[0].read("passwd.cache"), before);
    fs::write(www.join("snapshot"), text).unwrap();
    fs::write(www.join(&name), forged).unwrap();
    fs::remove_file(boards[1].etc("passwd.cache")).unwrap();
    let refused = boards[1].expect(1, &["update"]).stderr;
    assert!(refused.contains("passwd: it is not what was signed"), "{refused}");
    assert!(boards[1].read("passwd.cache").is_none());
}
