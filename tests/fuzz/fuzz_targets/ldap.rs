#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| nssbox_fuzz::targets::ldap(data));
