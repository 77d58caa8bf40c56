# Front door.  Meson does the work; see HACKING.md.
BUILD ?= build

all: $(BUILD)/build.ninja
	ninja -C $(BUILD)

$(BUILD)/build.ninja:
	meson setup $(BUILD)

check: all
	scripts/lint --quick
	meson test -C $(BUILD) --suite unit --suite fuzz-replay --suite sim

asan:
	meson setup build-asan -Db_sanitize=address,undefined --reconfigure 2>/dev/null || meson setup build-asan -Db_sanitize=address,undefined
	ninja -C build-asan
	meson test -C build-asan --suite unit --suite fuzz-replay --suite sim

tsan:
	meson setup build-tsan -Db_sanitize=thread --reconfigure 2>/dev/null || meson setup build-tsan -Db_sanitize=thread
	ninja -C build-tsan
	meson test -C build-tsan --suite unit --suite sim

fuzz:
	scripts/fuzz $(or $(T),600)

lint:
	scripts/lint

interop: all
	scripts/test --only interop

dev: all
	dist/bin/acre dev up --dir dev

clean:
	rm -rf build build-asan build-tsan build-fuzz dist

.PHONY: all check asan tsan fuzz lint interop dev clean
