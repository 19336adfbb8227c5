# Copyright @YEAR@ The nssbox authors
# Distributed under the terms of the MIT License or the Apache License 2.0

EAPI=8

PYTHON_COMPAT=( python3_{11..14} )
inherit python-any-r1

DESCRIPTION="Users and groups for small machines, in one executable"
HOMEPAGE="@SITE@"
# With all crates in it.
SRC_URI="@SITE@/${P}.tar.xz"

LICENSE="|| ( Apache-2.0 MIT )"
# Of the crates that are linked in.
LICENSE+=" MIT"
SLOT="0"
KEYWORDS="~amd64 ~arm ~arm64 ~riscv"
IUSE="sandbox small"

BDEPEND="
	${PYTHON_DEPS}
	|| ( >=dev-lang/rust-bin-1.87.0 >=dev-lang/rust-1.87.0 )
"

# Rust's own flags are in the profile: small code.
QA_FLAGS_IGNORED="usr/bin/nssbox"
# The profile of the build strips it.
QA_PRESTRIPPED="usr/bin/nssbox"

nssbox_features() {
	echo "$(usex small small default)$(usex sandbox ,sandbox '')"
}

src_compile() {
	export CARGO_HOME="${T}/cargo"
	cargo build --release --offline --locked --no-default-features --features "$(nssbox_features)" || die
}

src_test() {
	target/release/nssbox getent -s "unix -d ${EPREFIX}/etc" passwd root || die
}

src_install() {
	"${PYTHON}" build/install --executable target/release/nssbox --services systemd,openrc --package "${PF}" \
		"${D}" "${EPREFIX}/usr" || die
}
