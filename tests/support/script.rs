//! Backends of a switch that are small shell scripts (`sh -c`).

/// What a script does when it has said its part: it takes requests and says no more.
pub const MUTE: &str = "exec cat >/dev/null";

/// Takes a request of so many bytes.
pub fn take(request: &[u8]) -> String {
    format!("dd bs=1 count={} >/dev/null 2>&1;", request.len())
}

/// Says these bytes.
pub fn say(bytes: &[u8]) -> String {
    let octal: String = bytes.iter().map(|byte| format!("\\{byte:03o}")).collect();
    format!("printf '{octal}';")
}

/// Answers its first request so, and then says no more.
pub fn answering(request: &[u8], reply: &[u8]) -> String {
    take(request) + &say(reply) + MUTE
}
