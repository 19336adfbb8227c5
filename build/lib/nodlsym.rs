//! In place of musl's dlsym, by both its names, from which a static program gets no symbol either, and which brings
//! printf with it. rustix asks it for statx where it calls libc. On mips that is a must: musl's is
//! assembly that wants its own address in t9, which only position-independent code puts there.
#![feature(lang_items, no_core)]
#![allow(internal_features)]
#![no_core]

// What the compiler wants of a core.
#[lang = "pointee_sized"]
pub trait PointeeSized {}
#[lang = "meta_sized"]
pub trait MetaSized: PointeeSized {}
#[lang = "sized"]
pub trait Sized: MetaSized {}
#[lang = "copy"]
pub trait Copy {}

/// A null pointer, whatever is asked for.
#[unsafe(no_mangle)]
pub extern "C" fn dlsym() -> usize {
    0
}

/// What musl's headers call it where times have 64 bits and pointers 32.
#[unsafe(no_mangle)]
pub extern "C" fn __dlsym_time64() -> usize {
    0
}
