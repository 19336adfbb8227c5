//! Whether the kernel can do what a build with the feature `sandbox` asks of it.

use crate::support::skip;
use landlock::{ABI, Access, AccessFs, CompatLevel, Compatible, Ruleset, RulesetAttr};

/// Says so and gives true where the kernel has no landlock.
pub fn no_landlock(test: &str) -> bool {
    let rules = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    let rules = rules.handle_access(AccessFs::from_all(ABI::V1)).and_then(Ruleset::create);
    if let Err(error) = &rules {
        skip(test, &format!("the kernel has no landlock: {error}"));
    }
    rules.is_err()
}
