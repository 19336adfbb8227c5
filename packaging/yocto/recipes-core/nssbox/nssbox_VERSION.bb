SUMMARY = "Users and groups for small machines, in one executable"
DESCRIPTION = "Daemons and tools that answer who a user is and what a group is: nsss's daemons, \
an nscd for unmodified programs, getent and id."
HOMEPAGE = "@SITE@"
BUGTRACKER = "@SITE@"
SECTION = "base"
LICENSE = "MIT | Apache-2.0"
LIC_FILES_CHKSUM = "\
    file://LICENSE-APACHE;md5=@MD5_APACHE@ \
    file://LICENSE-MIT;md5=@MD5_MIT@ \
"
CVE_PRODUCT = "nssbox"

# With all crates in it.
SRC_URI = "@SITE@/nssbox-${PV}.tar.xz"
SRC_URI[sha256sum] = "@SHA256@"

inherit bash-completion cargo python3native systemd

# They are found by the .cargo/config.toml that comes with them.
CARGO_DISABLE_BITBAKE_VENDORING = "1"
# `default` or `small`, what boards get; with `,sandbox` for Landlock.
NSSBOX_FEATURES ?= "default"
CARGO_BUILD_FLAGS += "--no-default-features --features ${NSSBOX_FEATURES}"

SYSTEMD_PACKAGES = "${PN}"
SYSTEMD_SERVICE:${PN} = "nssbox-nscd.service nsssd.service nsssd.socket"
# Which one a machine has is its owner's decision.
SYSTEMD_AUTO_ENABLE = "disable"

do_install() {
    ${PYTHON} ${S}/build/install --features "${NSSBOX_FEATURES}" \
        --executable "${B}/target/${CARGO_TARGET_SUBDIR}/nssbox" \
        --services "${@bb.utils.contains('DISTRO_FEATURES', 'systemd', 'systemd', 'busybox,sysvinit', d)}" \
        "${D}" "${prefix}"
}

# Besides the unit files that are named above: a small build has no userdb.
FILES:${PN} += "${systemd_system_unitdir} ${datadir}/zsh"
