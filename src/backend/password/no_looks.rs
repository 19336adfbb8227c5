//! In place of `looks`, in a build without the feature `passwords`: nothing is looked at.

use super::Subject;
use super::rule::{Facts, Look};
use crate::sys::sandbox::Sandbox;

/// There is none.
pub enum Passwords {}

/// Nothing is searched.
#[derive(Clone, Copy, Default)]
pub struct ShadowSearch(());

impl Passwords {
    /// None.
    pub fn new() -> Option<Box<Self>> {
        None
    }

    /// Names nothing.
    pub fn allow(&self, _: &mut Sandbox) {
        match *self {}
    }

    /// Nothing is opened.
    pub fn reserve_descriptor(&mut self) {
        match *self {}
    }

    /// Nothing is open.
    pub fn close_idle(&mut self) -> bool {
        match *self {}
    }

    /// Nothing is open.
    pub fn holds_files(&self) -> bool {
        match *self {}
    }

    /// Never.
    pub fn look(
        &mut self,
        _: Look,
        _: &Subject<'_>,
        _: &mut ShadowSearch,
        _: &mut u64,
        _: u64,
        _: &mut Facts,
    ) -> Option<()> {
        match *self {}
    }
}
