//! `nsssd-map`, with a registry and without, first requests of each kind.
#![cfg(all(feature = "nsssd-map", feature = "abort-on-alloc"))]

use crate::support::map::{self, ALICE, Host, KEY, SHARED, uid, uid_of, user};
use crate::support::{self, Daemon, by_id, by_name, grouplist, is_root, op, skip};
use std::fs;

/// All opcodes, for names that are admitted, refused, new, and that collide.
fn ask_everything(host: &Host, daemon: &Daemon) {
    for round in 0..3 {
        for name in ["alice", "bob", "user3469", "user17288", "nosuch", "../x", "u3001", "app", ""]
        {
            uid_of(daemon, name);
            for op in [op::GRP_GETBYNAME, op::SHADOW_GETBYNAME] {
                let status = daemon.ask(&by_name(op, name), 1)[0];
                if status == 0 {
                    let (head, at) = if op == op::GRP_GETBYNAME { (12, 4) } else { (60, 56) };
                    let head = daemon.recv_exact(head);
                    let len = u32::from_be_bytes(head[at..at + 4].try_into().unwrap());
                    daemon.recv_exact(len as usize);
                }
            }
            let reply = daemon.ask(&grouplist(9, name), 17);
            daemon.recv_exact(4 * usize::from(reply[16]));
        }
        for id in [ALICE, SHARED, 3001, 15000, 0] {
            for op in [op::PWD_GETBYUID, op::GRP_GETBYGID] {
                if daemon.ask(&by_id(op, id), 1)[0] == 0 {
                    let head = daemon.recv_exact(12);
                    let at = if op == op::PWD_GETBYUID { 8 } else { 4 };
                    let len = u32::from_be_bytes(head[at..at + 4].try_into().unwrap());
                    daemon.recv_exact(len as usize);
                }
            }
        }
        for op in [op::PWD_GET, op::GRP_GET, op::SHADOW_GET] {
            daemon.expect(&[op], &map::NOT_FOUND);
        }
        for op in [op::PWD_REWIND, op::PWD_END, op::GRP_REWIND, op::GRP_END, op::SHADOW_END] {
            daemon.expect(&[op], &[0]);
        }
        // New names for the registry, and a directory that has to be read again.
        host.homes(&[&format!("new{round}")]);
        assert!(uid_of(daemon, &format!("new{round}")).is_some());
    }
}

fn serve(host: &Host) {
    let mut daemon = host.start(&[]);
    ask_everything(host, &daemon);
    assert_eq!(daemon.finish(), Some(0), "{}", daemon.stderr());
    // Each name as the first one that is asked for.
    for request in [user("alice"), uid(ALICE), grouplist(9, "alice")] {
        let mut daemon = host.start(&[]);
        daemon.send(&request);
        daemon.client().half_close();
        assert!(!support::receive_all(daemon.client()).is_empty());
        assert_eq!(daemon.finish(), Some(0), "{}", daemon.stderr());
    }
}

#[test]
fn neither_registry_nor_scan_nor_messages_allocate() {
    for registry in ["", "registry DIR/registry"] {
        let host = Host::new();
        host.config(&format!(
            "nssmap 2\nkey DIR/key\n{registry}\ndeny d*\nuids 3000-3999\n template u%u:x:=:0:g:/:/bin/sh\n\
             gids 3000-3999\n template g%u:x:=:\nmap *\n \
             template u:x:1879048192+134217728:=:g:DIR/home:/bin/sh\n require home\n groups tty\n rc yes\n"
        ));
        host.homes(&["alice", "bob", "user3469", "user17288"]);
        if is_root() {
            host.dir.write("home/alice/.nssmaprc", "disk:x:6:\n");
        }
        host.dir.write("registry", "torn");
        serve(&host);
        assert_eq!(fs::read_to_string(host.dir.join("key")).unwrap(), KEY);
    }
}

#[test]
fn a_single_line_does_not_allocate() {
    let host = Host::new();
    host.config("virtual:x:15000:15001:virtual user:DIR/home:/bin/bash\n");
    host.homes(&["alice"]);
    if !is_root() {
        skip("a_single_line_does_not_allocate", ".nssmaprc is root's");
    } else {
        host.dir.write("home/alice/.nssmaprc", "disk:x:6:\n");
    }
    serve(&host);
}
