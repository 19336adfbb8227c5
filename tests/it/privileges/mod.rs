//! What processes keep of root's rights, and what they give away before they serve.

mod daemons;
mod servers;
