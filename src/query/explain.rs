//! What each backend said, for `getent --explain`.

use crate::backend::Outcome;
use crate::backend::switch::{Observer, Report};
use crate::sys::message::Message;
use nssproto::bytes::{DECIMAL_MAX, write_decimal};
use rustix::io::Errno;

/// Whether this build tells it.
pub const TELLS: bool = cfg!(feature = "diagnosis");

/// Tells each answer of backends with these names on standard error: `NAME: found (0.012 ms)`.
pub fn to_stderr(names: Vec<Vec<u8>>) -> Observer {
    Box::new(move |report| {
        if let Some(name) = names.get(report.slot) {
            say(name, report);
        }
    })
}

/// Tells one answer.
pub fn say(name: &[u8], report: &Report) {
    let mut message = Message::new("getent", "explain");
    message.path(name).text(": ");
    message.text(match report.outcome {
        _ if report.refused => "not believed",
        Outcome::Found | Outcome::Groups | Outcome::Done => "found",
        Outcome::NotFound => "not found",
        Outcome::Failed(_) => "failed, ",
        Outcome::Dead => "failed for good",
        Outcome::Pending | Outcome::NeedsWorker => "not done yet",
    });
    if let Outcome::Failed(errno) = report.outcome {
        message.errno(Errno::from_raw_os_error(errno.into()));
    }
    // The digits of the fraction, behind a 1 that keeps its zeros.
    let mut room = [0; DECIMAL_MAX];
    let fraction = write_decimal((1000 + report.micros % 1000).into(), &mut room);
    message.text(" (").number((report.micros / 1000).into()).text(".");
    message.path(fraction.get(1..).unwrap_or_default()).text(" ms)").send_waiting();
}
