//! How a host ended.

/// Why a host is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// The command has ended by itself.
    Exit(u8),
    /// The program here was ended by a signal.
    Signal(u8),
    /// After so many seconds it was ended.
    Timeout(u64),
    /// ssh did not get there.
    Unreachable,
    /// dt was ended.
    Interrupted,
    /// Too many had failed before.
    NotStarted,
    /// The command's own error; it was not run.
    Module(String),
}
