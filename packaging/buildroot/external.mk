include $(sort $(wildcard $(BR2_EXTERNAL_NSSBOX_PATH)/package/*/*.mk))
