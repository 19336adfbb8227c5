//! `nsscache sshkey` as sshd's AuthorizedKeysCommand.

use crate::support::{have_program, is_root, nssbox, run_to_end, skip};
use std::process::Command;

/// The files are where sshd takes them: nobody but root can write there, or above. Two keys of root's
/// are known, each in another form; one is nobody's.
const SCRIPT: &str = r#"set -e
mount -t tmpfs -o mode=755 none /mnt
mkdir -p /run/sshd /mnt/bin
cp "$BOX" /mnt/bin/nssbox
ln -s nssbox /mnt/bin/nsscache
for key in host list bare other; do ssh-keygen -q -t ed25519 -N '' -C "$key@test" -f /mnt/$key; done
printf "root:['no', '%s']\nroot:%s\n" "$(cat /mnt/list.pub)" "$(cat /mnt/bare.pub)" >/mnt/sshkey.cache
chmod 444 /mnt/sshkey.cache
$INDEX
cat >/mnt/sshd_config <<EOF
HostKey /mnt/host
PidFile none
UsePAM no
StrictModes no
PermitRootLogin yes
PasswordAuthentication no
KbdInteractiveAuthentication no
AuthorizedKeysFile none
AuthorizedKeysCommand /mnt/bin/nsscache sshkey -d /mnt %u
AuthorizedKeysCommandUser nobody
EOF
set +e
for key in list bare other; do
    ssh -F none -n -i /mnt/$key -o IdentitiesOnly=yes -o BatchMode=yes -o StrictHostKeyChecking=no \
        -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR \
        -o ProxyCommand='/usr/sbin/sshd -i -e -f /mnt/sshd_config 2>>/mnt/log' root@test echo "$key is in" ||
        echo "$key is out"
done
"#;

#[test]
fn sshd_lets_in_who_has_a_key_there() {
    let test = "sshd_lets_in_who_has_a_key_there";
    let programs = ["unshare", "ssh", "ssh-keygen"];
    let has_sshd = std::path::Path::new("/usr/sbin/sshd").exists();
    if !is_root() || !has_sshd || !programs.into_iter().all(have_program) {
        return skip(test, "needs root, unshare, ssh and sshd");
    }
    for index in [":", "/mnt/bin/nsscache index -d /mnt"] {
        let mut command = Command::new("unshare");
        command.args(["-m", "--propagation", "private", "sh", "-c", SCRIPT]);
        command.env("BOX", nssbox()).env("INDEX", index);
        let done = run_to_end(command);
        let out = String::from_utf8_lossy(&done.stdout);
        assert_eq!(out, "list is in\nbare is in\nother is out\n", "{index}: {}", done.stderr);
    }
}
