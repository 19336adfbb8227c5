//! OpenSSH's and dropbear's own clients and servers, on addresses of a network of their own: fifty
//! hosts, one with a full disk, a slow one; one more that takes connections and says nothing.

use crate::support::page::{Step, blocks, steps};
use crate::support::{TempDir, have_program, is_root, link_farm, run_to_end, skip};
use std::process::Command;

/// What makes the machine: a network, keys, and both servers. Each address h1 to h50 is one host with
/// a folder of its own, in which its commands run (WHERE names it); `dead` takes connections and says
/// nothing, nobody listens at `down`, `drop1` and `drop2` are dropbear's.
const MACHINE: &str = r##"
set -e
home=~root
mount --make-rprivate / && mount -t tmpfs -o mode=700 none "$home" && mount -t tmpfs -o mode=755 none /run
mkdir -p "$home/.ssh" /run/sshd /run/hosts && chmod 700 "$home/.ssh" && cd /run
ip link set lo up
{
    echo "127.0.0.1 localhost"
    n=1; while [ $n -le 50 ]; do
        ip addr add 127.0.1.$n/32 dev lo
        mkdir hosts/127.0.1.$n
        echo "127.0.1.$n h$n"
        n=$((n + 1))
    done
    echo "127.0.1.41 web1"
    echo "127.0.1.42 web2"
    echo "127.0.1.43 db1"
    echo "127.0.3.1 dead"
    echo "127.0.3.2 down"
    echo "127.0.2.1 drop1"
    echo "127.0.2.2 drop2"
} >names
mount --bind names /etc/hosts
ssh-keygen -q -t ed25519 -N '' -f "$home/.ssh/id_ed25519"
ssh-keygen -q -t ed25519 -N '' -f hostkey
cp "$home/.ssh/id_ed25519.pub" "$home/.ssh/authorized_keys"
cat >where <<'END'
#!/bin/sh
set -- $SSH_CONNECTION
export WHERE=h${3##*.}
cd /run/hosts/$3 || exit 1
[ ! -e /run/late.$WHERE ] || sleep "$(cat /run/late.$WHERE)"
[ ! -e /run/feed.$WHERE ] || { { head -c 100000; until [ -e /run/go ]; do sleep 0.1; done; cat; } | sh -c "$SSH_ORIGINAL_COMMAND"; exit; }
[ ! -e /run/busybox.$WHERE ] || exec env -i WHERE=$WHERE PATH=/run/busybox busybox sh -c "$SSH_ORIGINAL_COMMAND"
exec sh -c "$SSH_ORIGINAL_COMMAND"
END
chmod 755 where
{
    echo "HostKey /run/hostkey"
    echo "AuthorizedKeysFile $home/.ssh/authorized_keys"
    echo "PermitRootLogin yes"
    echo "StrictModes no"
    echo "UsePAM no"
    echo "PasswordAuthentication no"
    echo "KbdInteractiveAuthentication no"
    echo "MaxStartups 200"
    echo "PidFile none"
    echo "LogLevel VERBOSE"
    echo "ForceCommand /run/where"
} >sshd_config
# One of them listens at 16 addresses at most.
for first in 1 17 33 49; do
    n=$first; while [ $n -le 50 ] && [ $n -lt $((first + 16)) ]; do echo "ListenAddress 127.0.1.$n"; n=$((n + 1)); done |
        cat sshd_config - >sshd_config.$first
    SSHD -D -e -f sshd_config.$first 2>>sshd.log &
done
dropbearkey -t ed25519 -f dropkey >/dev/null 2>&1
dropbearkey -t ed25519 -f clientkey 2>/dev/null | grep '^ssh-' >>"$home/.ssh/authorized_keys"
dropbear -F -E -r dropkey -p 127.0.2.1:22 -p 127.0.2.2:22 2>dropbear.log &
# Takes connections, and never says a word.
python3 -c 'import socket, time; held = socket.create_server(("127.0.3.1", 22)); time.sleep(1e6)' &
n=1; while [ $n -le 50 ]; do echo "h$n linux n$n"; n=$((n + 1)); done >"$home/.dtdb"
printf 'drop1 drop\nroot@drop2:22 drop\n' >>"$home/.dtdb"
export PATH="$BIN:$PATH" HOME="$home" USER=root
# All answer.
for host in h1 h17 h33 h50 drop1; do
    n=0; until ssh -oBatchMode=yes -oStrictHostKeyChecking=accept-new $host true 2>ssh.log; do
        n=$((n + 1)); [ $n -lt 100 ] || { cat ssh.log sshd.log dropbear.log >&2; exit 120; }
        sleep 0.1
    done
done
set +e
"##;

/// What a script prints there; `None` where that cannot be, which is said.
#[track_caller]
fn there(test: &str, script: &str) -> Option<String> {
    let programs = [
        "unshare",
        "python3",
        "ip",
        "ssh",
        "sshd",
        "ssh-keygen",
        "dropbear",
        "dbclient",
        "dropbearkey",
    ];
    let sshd = ["/usr/sbin/sshd", "/usr/bin/sshd"]
        .into_iter()
        .find(|path| std::path::Path::new(path).exists());
    if !is_root() {
        skip(test, "needs root");
        return None;
    }
    if let Some(missing) = programs.iter().find(|name| !have_program(name) && **name != "sshd") {
        skip(test, &format!("no {missing}"));
        return None;
    }
    let Some(sshd) = sshd else {
        skip(test, "no sshd");
        return None;
    };
    let dir = TempDir::new();
    link_farm(dir.path());
    let machine = MACHINE.replace("SSHD", sshd);
    let mut command = Command::new("unshare");
    command.args(["-mnpf", "--mount-proc", "sh", "-c"]).arg(format!("{machine}{script}"));
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.env("BIN", dir.path()).env("LC_ALL", "C.UTF-8").env("TMPDIR", "/run");
    let run = run_to_end(command);
    if run.code == Some(120) {
        skip(test, &format!("no machine: {}", run.stderr));
        return None;
    }
    assert_eq!(run.stderr, "", "{}", String::from_utf8_lossy(&run.stdout));
    Some(String::from_utf8(run.stdout).unwrap())
}

/// Line for line; a wanted one that ends with a star is the beginning of one.
#[track_caller]
fn assert_lines(printed: &str, wanted: &str) {
    for (line, wanted) in printed.lines().zip(wanted.lines()) {
        match wanted.strip_suffix('*') {
            Some(front) => assert!(line.starts_with(front), "{line}\n{printed}"),
            None => assert_eq!(line, wanted, "{printed}"),
        }
    }
    assert_eq!(printed.lines().count(), wanted.lines().count(), "{printed}");
}

#[test]
fn openssh_runs_commands_on_fifty_hosts() {
    let script = r#"
        dt tag:linux ssh date | grep -c '^okay::dt:ssh:h[0-9]*:... ... .. ..:..:.. .* ....$'
        dt -C 50 -f group tag:linux ssh 'echo $((${WHERE#h} % 2))' | grep -c 'h\['
        dt 'tag:n7+linux' ssh 'echo $WHERE; exit 3'; echo $?
        dt 'tag:n7,n8' ssh 'exit 255'; echo $?
        dt -T 1 'sys:{h1,dead}' ssh 'echo hi'; echo $?
        dt -W 1 'sys:{h1,h2}' ssh 'test $WHERE = h1 || sleep 30'; echo $?
        dt 'sys:root@h3:22' ssh 'echo "a   b"'
        dt -q 'sys:h3' ssh echo 'a   b' '$HOME' "c'd"
        dt -l nobodyhere sys:h4 ssh true; echo $?
        met() { grep -ac 'Connection from .* on 127.0.1.6 ' sshd.log; }
        before=$(met); dt 'sys:h5|h6' ssh 'echo $WHERE'; echo $(($(met) - before))
        printf 'echo $# $1 $WHERE\n' >s; dt sys:h9 script s 'x y'
        printf 'text\n' >f; dt 'sys:h[1-3]' scp -O f g | sort; cat hosts/127.0.1.2/g; dt 'sys:h[1-3]' rscp -O g got | sort; cat got.h3
        yes 0123456789 | head -n 9000 >big; dt --stdin sys:h2 ssh 'wc -c' <big
        printf x >unsafe; dt --json sys:h2 ssh 'printf "\377"; echo e >&2; exit 4' | sed 's/"seconds":[0-9.]*,//'
    "#;
    let Some(printed) = there("openssh_runs_commands_on_fifty_hosts", script) else { return };
    let lines: Vec<&str> = printed.lines().collect();
    let wanted = [
        "50",
        "2",
        "fail::dt:ssh:h7:h7",
        "1",
        "*exit 255",
        "*exit 255",
        "1",
        "*",
        "*",
        "1",
        "*",
        "*",
        "124",
        "okay::dt:ssh:root@h3%3a22:a   b",
        "okay::dt:ssh:h3:a   b $HOME c'd",
        "fail::dt:ssh:h4:nobodyhere@h4: Permission denied (publickey).",
        "1",
        "okay::dt:ssh:h5|h6:h5",
        "1",
        "okay::dt:script:h9:1 x y h9",
        "okay::dt:scp:h1:",
        "okay::dt:scp:h2:",
        "okay::dt:scp:h3:",
        "text",
        "okay::dt:rscp:h1:",
        "okay::dt:rscp:h2:",
        "okay::dt:rscp:h3:",
        "text",
        "okay::dt:ssh:h2:99000",
        r#"{"host":"h2","status":"fail","reason":"exit","exit":4,"signal":null,"stdout_b64":"/w==","stderr":"e\n"}"#,
    ];
    assert_eq!(lines.len(), wanted.len(), "{printed}");
    for (line, wanted) in lines.iter().zip(wanted) {
        match wanted.strip_prefix('*') {
            Some(end) => assert!(line.ends_with(end), "{line}\n{printed}"),
            None => assert_eq!(*line, wanted, "{printed}"),
        }
    }
    assert!(
        printed.contains("fail::dt:ssh:dead:") && printed.contains("okay::dt:ssh:h1:hi"),
        "{printed}"
    );
    assert!(printed.contains("fail::dt:ssh:h2:timeout after 1 s"), "{printed}");
}

#[test]
fn a_file_is_pushed_to_fifty_hosts_with_a_full_a_dead_and_a_slow_one() {
    let script = r#"
        head -c 300000 /dev/urandom >file; chmod 640 file
        mount -t tmpfs -o size=64k none hosts/127.0.1.7
        echo 3 >late.h8
        echo old >hosts/127.0.1.1/dst; chown 7:8 hosts/127.0.1.1/dst; chmod 4711 hosts/127.0.1.1/dst
        cp file hosts/127.0.1.2/dst; chmod 600 hosts/127.0.1.2/dst
        ln -s /etc/passwd hosts/127.0.1.3/dst; mkdir hosts/127.0.1.4/dst
        mkfifo hosts/127.0.1.5/dst
        dt -T 1 -C 50 --failed left 'tag:linux+sys:dead' push file dst >out; echo $?
        grep -c '^okay::dt:push:h[0-9]*:written (sha256)$' out
        grep '^okay' out | grep -v written
        grep '^fail' out | sort | sed 's/dead:.*/dead/'
        sort left | tr '\n' ' '; echo
        for n in 1 2 6 50; do cmp file hosts/127.0.1.$n/dst; stat -c '%a %u:%g' hosts/127.0.1.$n/dst; done
        find hosts -name 'dst.*'; ls hosts/127.0.1.7
        dt -C 50 'tag:linux-n7,n3,n4,n5' push -m 755 -o 3:4 file dst | grep -c 'already there'
        stat -c '%a %u:%g' hosts/127.0.1.9/dst
        dt sys:h9 push file 'it'"'"'s; $(touch bad) "x"'; ls hosts/127.0.1.9
        dt sys:h9 push file nowhere/dst; echo $?
    "#;
    let test = "a_file_is_pushed_to_fifty_hosts_with_a_full_a_dead_and_a_slow_one";
    let Some(printed) = there(test, script) else { return };
    let wanted = "1\n45\nokay::dt:push:h2:already there (sha256)\n\
         fail::dt:push:dead\n\
         fail::dt:push:h3:dst is a link\nfail::dt:push:h4:dst is a folder\nfail::dt:push:h5:dst is no file\n\
         fail::dt:push:h7:cat: write error: No space left on device\\ncannot write dst.*\n\
         dead h3 linux n3 h4 linux n4 h5 linux n5 h7 linux n7 \n\
         4711 7:8\n600 0:0\n640 0:0\n640 0:0\n\
         46\n755 3:4\n\
         okay::dt:push:h9:written (sha256)\ndst\nit's; $(touch bad) \"x\"\n\
         fail::dt:push:h9:*\n1\n";
    assert_lines(&printed, wanted);
}

/// Boards have busybox's programs and nothing else: with its sha256sum, with cksum alone, with neither.
#[test]
fn a_file_is_pushed_to_hosts_that_have_busybox_alone() {
    let test = "a_file_is_pushed_to_hosts_that_have_busybox_alone";
    if !have_program("busybox") {
        return skip(test, "no busybox");
    }
    let script = r#"
        head -c 300000 /dev/urandom >file; chmod 640 file
        mkdir busybox; busybox --install -s /run/busybox; ln -s "$(command -v busybox)" busybox/busybox
        for n in 1 2 3 4 5; do touch busybox.h$n; done
        echo old >hosts/127.0.1.1/dst; chown 7:8 hosts/127.0.1.1/dst; chmod 4711 hosts/127.0.1.1/dst
        cp file hosts/127.0.1.2/dst; mkdir hosts/127.0.1.4/dst
        mount -t tmpfs -o size=64k none hosts/127.0.1.5
        dt 'sys:h[1-5]' push file dst | sort; ls hosts/127.0.1.5
        for n in 1 3; do cmp file hosts/127.0.1.$n/dst; stat -c '%a %u:%g' hosts/127.0.1.$n/dst; done
        dt sys:h3 push -m 755 -o 3:4 file 'it'"'"'s; $(touch bad)'; ls hosts/127.0.1.3
        stat -c '%a %u:%g' hosts/127.0.1.3/it*
        rm busybox/sha256sum; ln -sf "$(command -v cksum)" busybox/cksum
        dt sys:h1 push file dst; echo new >file; dt 'sys:h[1-2]' push file dst | sort
        rm busybox/cksum
        echo newer >file; dt sys:h2 push file dst; cat hosts/127.0.1.2/dst
        ls hosts/*/dst.* 2>/dev/null
    "#;
    let Some(printed) = there(test, script) else { return };
    let wanted = "fail::dt:push:h4:dst is a folder\n\
        fail::dt:push:h5:cat: write error: No space left on device\\ncannot write dst.*\n\
        okay::dt:push:h1:written (sha256)\nokay::dt:push:h2:already there (sha256)\n\
        okay::dt:push:h3:written (sha256)\n4711 7:8\n640 0:0\n\
        okay::dt:push:h3:written (sha256)\ndst\nit's; $(touch bad)\n755 3:4\n\
        okay::dt:push:h1:already there (cksum)\n\
        okay::dt:push:h1:written (cksum)\nokay::dt:push:h2:written (cksum)\n\
        fail::dt:push:h2:neither sha256sum nor cksum is there\nnew\n";
    assert_lines(&printed, wanted);
}

#[test]
fn a_push_that_is_ended_in_the_middle_leaves_what_was_there() {
    let script = r#"
        head -c 300000 /dev/urandom >file
        # Ended in the middle: what was there stays, and nothing else.
        echo keep >hosts/127.0.1.10/dst; touch feed.h10
        dt sys:h10 push file dst >out & pid=$!
        n=0; until ls hosts/127.0.1.10/dst.* >/dev/null 2>&1 || [ $n = 400 ]; do n=$((n + 1)); sleep 0.1; done
        kill $pid; wait $pid; echo $?; cat out; touch go
        n=0; while ls hosts/127.0.1.10/dst.* >/dev/null 2>&1 && [ $n != 400 ]; do n=$((n + 1)); sleep 0.1; done
        ls hosts/127.0.1.10; cat hosts/127.0.1.10/dst
        # This executable, only where it fits.
        dt sys:h11 push --self nssbox; cmp "$BIN/dt" hosts/127.0.1.11/nssbox
        stat -c %a hosts/127.0.1.11/nssbox
    "#;
    let test = "a_push_that_is_ended_in_the_middle_leaves_what_was_there";
    let Some(printed) = there(test, script) else { return };
    let mode = std::fs::metadata(crate::support::nssbox()).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::mode(&mode.permissions()) & 0o777;
    let wanted = format!(
        "130\nfail::dt:push:h10:interrupted\ndst\nkeep\n\
         okay::dt:push:h11:written (sha256)\n{mode:o}\n"
    );
    assert_lines(&printed, &wanted);
}

#[test]
fn dropbears_client_and_server_do_as_well() {
    let script = r#"
        export DTOOLS_SSH=dbclient SSHOPTS='-i /run/clientkey'
        dt tag:drop ssh 'echo hi' | sort
        dt -f group 'sys:h[1-20]' ssh 'echo same; exit 2' | head -1
        dt sys:h1 ssh 'exit 7'; echo $?
        dt -T 1 'sys:dead' ssh 'echo hi'; echo $?
        dt -W 1 -T 5 sys:drop1 ssh 'sleep 30'; echo $?
        dt 'sys:h2|h3' ssh 'echo $WHERE'
        printf 'data\n' >f
        dt 'sys:h[1-20]' push f dst | grep -c written
        dt -l nobodyhere --json sys:h1 ssh true | grep -c unreachable
        dt sys:h1 scp f g; echo $?
        unset DTOOLS_SSH SSHOPTS
        dt tag:drop push f /run/dst | sort
        dt tag:drop ssh 'exit 9' | sort; dt -W 1 tag:drop ssh 'sleep 30' | sort
        pidof dbclient ssh; echo none
    "#;
    let Some(printed) = there("dropbears_client_and_server_do_as_well", script) else { return };
    let wanted = "okay::dt:ssh:drop1:hi\nokay::dt:ssh:root@drop2%3a22:hi\nh[1-20] (20) fail\n\
        fail::dt:ssh:h1:exit 7\n1\n\
        fail::dt:ssh:dead:*\n1\nfail::dt:ssh:drop1:timeout after 1 s\n124\n\
        okay::dt:ssh:h2|h3:h2\n20\n1\nfail::dt:scp:h1:fail::dt:needs OpenSSH's ssh; push does without\n3\n\
        okay::dt:push:drop1:*\nokay::dt:push:root@drop2%3a22:*\n\
        fail::dt:ssh:drop1:exit 9\nfail::dt:ssh:root@drop2%3a22:exit 9\n\
        fail::dt:ssh:drop1:timeout after 1 s\nfail::dt:ssh:root@drop2%3a22:timeout after 1 s\nnone\n";
    assert_lines(&printed, wanted);
}

/// doc/dt.md: what needs hosts, as it stands, twice.
#[test]
fn the_commands_of_the_page_do_what_it_says() {
    let blocks = blocks("doc/dt.md");
    let needs = blocks.iter().filter(|block| block.needs == "sshd");
    let steps: Vec<Step> = needs.flat_map(steps).collect();
    assert!(steps.len() > 10, "{} steps", steps.len());
    let mut script = String::new();
    for step in steps.iter().chain(&steps) {
        script += &format!("echo '=== {}'\n{}", step.line, step.commands);
    }
    let Some(printed) = there("the_commands_of_the_page_do_what_it_says", &script) else { return };
    let mut pieces = printed.split("=== ").skip(1);
    for step in steps.iter().chain(&steps) {
        let wanted = format!("{}\n{}", step.line, step.output);
        assert_eq!(
            pieces.next(),
            Some(wanted.as_str()),
            "doc/dt.md:{}\n{}",
            step.line,
            step.commands
        );
    }
}
