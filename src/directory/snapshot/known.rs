//! What is known of a snapshot from the last time, when all of it stood: the list, as it was signed, and what
//! its server calls it. Beside the timestamps: `list-snapshot-…`, `state-snapshot-…`.

use super::signers::Signers;
use super::sum;
use crate::directory::failure::Done;
use crate::directory::source::url::Url;
use crate::directory::stamp::Stamps;
use crate::directory::state::{DataStamp, State, Validators};
use crate::sys::file::read_path;

/// A snapshot that was taken.
pub struct Known {
    stamps: Stamps,
    origin: String,
    /// The list; empty: nothing is known.
    pub text: Vec<u8>,
    /// What its server calls it.
    pub validators: Validators,
}

impl Known {
    /// That of a URL. Signed by others than those who may sign now, it is no more.
    pub fn read(dir: &str, url: &Url, signers: &Signers) -> Known {
        let origin = format!("{} signed by {}", url.bare(), signers.sum);
        let sum = sum::of(url.bare().as_bytes());
        let name = format!("snapshot-{}", sum.get(..16).unwrap_or_default());
        let stamps = Stamps::new(dir, &name);
        let path = stamps.beside("list");
        let state = State::read(&stamps);
        let is_same = state.origin.as_ref() == Some(&origin) && state.data == DataStamp::of(&path);
        let text = if is_same { read_path(&path).unwrap_or_default() } else { Vec::new() };
        Known { stamps, origin, text, validators: state.validators }
    }

    /// Remembers it: all of it stands.
    pub fn write(&self) -> Done {
        let path = self.stamps.beside("list");
        self.stamps.write_file(&path, &String::from_utf8_lossy(&self.text))?;
        let state = State {
            origin: Some(self.origin.clone()),
            validators: self.validators.clone(),
            data: DataStamp::of(&path),
            ..State::default()
        };
        state.write(&self.stamps)
    }
}
