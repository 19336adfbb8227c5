//! Certificates for servers of tests.

use super::{TempDir, have_program, run_to_end, skip};
use std::process::Command;

/// Authorities and certificates, made by openssl: `NAME.pem` and `NAME.key`. `ca` is the authority.
const CERTIFICATES: &str = r#"
set -e
cd "$0"
new() { openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout $1.key -out $1.csr -subj "/CN=$2" 2>/dev/null; }
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -days 30 -subj /CN=authority 2>/dev/null
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout self.key -out self.pem -days 30 \
    -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE 2>/dev/null
printf 'subjectAltName=IP:127.0.0.1,DNS:localhost\n' >here
printf 'subjectAltName=DNS:elsewhere.example\n' >elsewhere
sign() { openssl x509 -req -in $1.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -extfile $2 -out $1.pem 2>/dev/null; }
new good localhost; sign good here
new other elsewhere.example; sign other elsewhere
new client host17; printf 'extendedKeyUsage=clientAuth\n' >as-client; sign client as-client
mkdir db; : >db/index; echo 01 >db/serial
cat >ca.conf <<EOF
[ca]
default_ca = d
[d]
database = db/index
serial = db/serial
new_certs_dir = db
default_md = sha256
unique_subject = no
policy = p
[p]
commonName = supplied
EOF
dated() { new $1 localhost; openssl ca -batch -config ca.conf -cert ca.pem -keyfile ca.key -in $1.csr -out $1.pem \
    -startdate $2 -enddate $3 -extfile here -notext 2>/dev/null; }
dated expired 20200101000000Z 20210101000000Z
dated future 20980101000000Z 20990101000000Z
# One that was issued by a certificate that is no authority.
openssl x509 -req -in other.csr -CA good.pem -CAkey good.key -CAcreateserial -days 30 -extfile here -out leaf.pem 2>/dev/null
cat leaf.pem good.pem >chain.pem; mv chain.pem leaf.pem; cp other.key leaf.key
chmod 600 *.key
"#;

/// Makes them in a directory: `ca`, an authority; `good`, for 127.0.0.1 and localhost; `other`, for another
/// name; `self`, `expired`, `future`, `leaf`, which nobody must believe; `client`. False: there is no
/// openssl, which is said.
#[track_caller]
pub fn make(test: &str, dir: &TempDir) -> bool {
    if !have_program("openssl") {
        skip(test, "no openssl");
        return false;
    }
    let mut openssl = Command::new("sh");
    openssl.args(["-c", CERTIFICATES]).arg(dir.path());
    let made = run_to_end(openssl);
    assert_eq!(made.code, Some(0), "certificates: {}", made.stderr);
    true
}
