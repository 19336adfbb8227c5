################################################################################
#
# nssbox
#
################################################################################

NSSBOX_VERSION = @VERSION@
NSSBOX_SITE = @SITE@
NSSBOX_SOURCE = nssbox-$(NSSBOX_VERSION).tar.xz
NSSBOX_LICENSE = MIT or Apache-2.0
NSSBOX_LICENSE_FILES = LICENSE-MIT LICENSE-APACHE
# For build/install.
NSSBOX_DEPENDENCIES = host-python3

NSSBOX_FEATURES = $(if $(BR2_PACKAGE_NSSBOX_SMALL),small,default)$(if $(BR2_PACKAGE_NSSBOX_SANDBOX),$(comma)sandbox)
NSSBOX_CARGO_BUILD_OPTS = --no-default-features --features $(NSSBOX_FEATURES)

# $(1): what starts services there.
define NSSBOX_INSTALL
	$(HOST_DIR)/bin/python3 $(@D)/build/install --features $(NSSBOX_FEATURES) --services $(1) \
		--executable $(@D)/target/$(RUSTC_TARGET_NAME)/release/nssbox $(TARGET_DIR) /usr
endef

define NSSBOX_INSTALL_TARGET_CMDS
	$(call NSSBOX_INSTALL,busybox)
endef

define NSSBOX_INSTALL_INIT_SYSTEMD
	$(call NSSBOX_INSTALL,systemd)
endef

define NSSBOX_INSTALL_INIT_OPENRC
	$(call NSSBOX_INSTALL,openrc)
endef

$(eval $(cargo-package))
