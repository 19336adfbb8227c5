//! `nsssd-nslcd`.

mod doc;
mod hostile;
mod ldap;
mod lookups;
mod real;
