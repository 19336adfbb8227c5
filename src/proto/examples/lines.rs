//! Reads a file of passwd lines as nsss does, and says which lines are skipped, and why.

use nssproto::entry::{Db, Record};
use nssproto::line;

const PASSWD: &str = "\
root:x:0:0:root:/root:/bin/sh
# a comment is a bad line
ada:x:1001:1000:Ada:/home/ada:/bin/sh
bob:x:-2:1000::/home/bob:/bin/sh
";

#[cfg_attr(test, test)]
fn main() {
    for (nth, text) in (1..).zip(PASSWD.lines()) {
        match line::parse(Db::Passwd, text.as_bytes()) {
            Ok(Record::Passwd(user)) => {
                let (name, home) = (user.name.escape_ascii(), user.home.escape_ascii());
                println!("{name} has uid {} and lives in {home}", user.uid.0);
            }
            Ok(_) => {}
            Err(error) => println!("line {nth} is skipped: {error}"),
        }
    }
}
