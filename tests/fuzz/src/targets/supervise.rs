//! Status files of supervisors: what is decoded is written back, and is what its offsets say.

use super::first;
use nssproto::supervise::{Beside, STATUS_MAX, Status, encore, runit};

/// What lies beside the file (bit 0: `ok`, bit 1: `stat`), and the file.
pub fn service_status(data: &[u8]) {
    let (beside, file) = first(data);
    let (ok, stat) = (beside & 1 != 0, beside & 2 != 0);
    let asked = std::cell::Cell::new(false);
    let look = || {
        asked.set(true);
        stat
    };
    let told = Status::decode(file, Beside { ok, stat: &look });
    let is_known = matches!(file.len(), 20 | 21 | 35 | 40 | 43) || file.len() == 18 && ok;
    assert_eq!(told.is_ok(), is_known, "{} bytes", file.len());
    let Ok(status) = told else { return };
    let mut out = [0xa5; STATUS_MAX + 1];
    let len = status.encode(&mut out).unwrap();
    assert_eq!(out[..len], file[..len]);
    assert!(len == file.len() || file.len() == 21, "{len} of {}", file.len());
    assert!(out[len..].iter().all(|byte| *byte == 0xa5));
    for room in 0..len {
        let mut out = [0xa5; STATUS_MAX];
        assert!(status.encode(&mut out[..room]).is_err());
        assert!(out.iter().all(|byte| *byte == 0xa5));
    }
    let pid = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap());
    match status {
        Status::Runit(runit::Status { front, state, .. }) => {
            assert_eq!((front.pid, state), (pid(12), file[19]));
            assert_ne!((state, asked.get(), stat), (0, true, false));
        }
        Status::Daemontools(status) => assert_eq!((status.pid, status.want), (pid(12), file[17])),
        Status::Encore { main: encore::Status { front, state, .. }, log } => {
            assert_eq!((front.pid, state), (pid(12), file[18]));
            assert_eq!(log.map(|log| log.front.pid), (len == 40).then(|| pid(32)));
        }
        Status::S6(status) => {
            assert_eq!(status.pid, u64::from_be_bytes(file[24..32].try_into().unwrap()));
            assert_eq!((status.flags, status.group.is_some()), (file[len - 1], len == 43));
            let _ = (status.since().unix_seconds(), status.ready_since().unix_seconds());
        }
    }
}
