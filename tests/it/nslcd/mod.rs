//! `nsssd-nslcd`.

mod hostile;
mod ldap;
mod lookups;
mod real;
