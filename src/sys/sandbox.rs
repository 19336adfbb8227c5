//! What the kernel lets a process do to files from here on: landlock (Linux 5.13), which any user
//! can ask for and nobody can undo. Only in builds with the feature `sandbox`.

use std::path::PathBuf;

/// What remains allowed.
#[derive(Default)]
pub struct Sandbox {
    /// Files that will be opened. They are replaced by renaming, so what counts is the directory:
    /// all that is below it can be read.
    #[cfg(feature = "sandbox")]
    files: Vec<PathBuf>,
    /// Directories of which nothing must be looked at now: that could wait for a mount.
    #[cfg(feature = "sandbox")]
    listed: Vec<PathBuf>,
    /// Files that will be made and appended to, and the same of their directories.
    #[cfg(feature = "sandbox")]
    written: Vec<PathBuf>,
}

#[cfg(not(feature = "sandbox"))]
impl Sandbox {
    /// There is no sandbox in this build.
    pub fn open_later(&mut self, _: impl FnOnce() -> PathBuf) {}

    /// There is no sandbox in this build.
    pub fn list_later(&mut self, _: impl FnOnce() -> PathBuf) {}

    /// There is no sandbox in this build.
    pub fn append_later(&mut self, _: impl FnOnce() -> PathBuf) {}

    /// Nothing is forbidden, and nobody meant it to be.
    pub fn enter(self) -> bool {
        true
    }
}

#[cfg(feature = "sandbox")]
impl Sandbox {
    /// A directory that will be listed, or files below it opened.
    pub fn list_later(&mut self, directory: impl FnOnce() -> PathBuf) {
        self.listed.push(directory());
    }

    /// A file.
    pub fn open_later(&mut self, file: impl FnOnce() -> PathBuf) {
        self.files.push(file());
    }

    /// A file that will be appended to, also when it was replaced, and made anew when removed.
    pub fn append_later(&mut self, file: impl FnOnce() -> PathBuf) {
        self.written.push(file());
    }

    /// From here on nothing else can be opened, and nothing made, changed, removed or run; what is
    /// open stays so. Sockets with a path can be connected to, others not. As far as the kernel
    /// goes along: an older one forbids less, one without landlock nothing, and that is no error.
    /// False if nothing is forbidden.
    pub fn enter(self) -> bool {
        // The rights that it asks for exist; what else can fail is a full kernel, or that the
        // process is in as many sandboxes already as there may be (16).
        self.try_enter().unwrap_or(false)
    }

    fn try_enter(self) -> Result<bool, landlock::RulesetError> {
        use landlock::{
            ABI, Access, AccessFs, AccessNet, Ruleset, RulesetAttr, RulesetCreatedAttr,
            RulesetStatus, Scope, path_beneath_rules,
        };
        let abi = ABI::V6;
        let rules = Ruleset::default()
            .handle_access(AccessFs::from_all(abi))?
            .handle_access(AccessNet::from_all(abi))?
            .scope(Scope::AbstractUnixSocket)?
            .create()?;
        let reading = AccessFs::ReadFile | AccessFs::ReadDir;
        let directories_read = self.files.iter().flat_map(directories);
        let writing = AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::MakeReg;
        let written = self.written.iter().flat_map(directories);
        let rules = rules
            .add_rules(path_beneath_rules(directories_read, reading))?
            .add_rules(path_beneath_rules(self.listed.iter().filter_map(nearest), reading))?
            .add_rules(path_beneath_rules(written, writing))?;
        Ok(rules.restrict_self()?.ruleset != RulesetStatus::NotEnforced)
    }
}

/// Where a file stands, and where it leads.
#[cfg(feature = "sandbox")]
fn directories(file: &PathBuf) -> impl Iterator<Item = PathBuf> {
    let real = std::fs::canonicalize(file).ok();
    let of = |file: &PathBuf| nearest(&std::path::absolute(file).ok()?.parent()?.into());
    [of(file), real.as_ref().and_then(of)].into_iter().flatten()
}

/// A directory, or the nearest one above it that exists.
#[cfg(feature = "sandbox")]
fn nearest(directory: &PathBuf) -> Option<PathBuf> {
    let directory = std::path::absolute(directory).ok()?;
    directory.ancestors().find(|d| d.is_dir()).map(PathBuf::from)
}
