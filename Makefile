# pg_readmodel: build, install and test.
#
#   make, make install, make installcheck   as every PostgreSQL extension (PGXS); DEBUG=1 for -O0 and assertions,
#                    FAULTS=1 for the injection points of test/faults
#   make http, make install-http, make uninstall-http
#                    the HTTP service alone, a program without need of the server's headers (PREFIX=/usr/local DESTDIR=)
#   make check       every test, on a throw-away server; installs the Debian packages that are missing
#   make check-asan, make check-valgrind   the tests with the sanitizers, and some of them under valgrind
#   make check-long  all of these, and make torture for a minute
#   make torture     writers, kills and changes of every kind at once, judged by an oracle (SECONDS=60, SEED=n, PLAN=1, KEEP=1)
#   make demo        the main job, shown on a throw-away server (KEEP=1 leaves it up, EVENTS=file.csv[.gz] uses that log)
#   make bench       the figures, with their baselines (SUITE="2 9" for some, EVENTS=n, QUICK=1 to see whether it works), and their report
#   make bench-report  bench/report.html from the newest figures
#   make micro-bench how long values, paths and folding take by themselves, without a server
#   make packages    only installs the packages
#   make format, make lint
#
# PG_CONFIG=/path/to/pg_config chooses the PostgreSQL installation.

PG_CONFIG ?= $(or $(wildcard /usr/lib/postgresql/15/bin/pg_config),pg_config)

# These work before PostgreSQL is installed, so nothing below their branch may ask pg_config anything.
OWN_GOALS := http install-http uninstall-http check check-long check-asan check-valgrind torture demo bench bench-report micro-bench packages format lint

ifneq (,$(filter $(OWN_GOALS),$(MAKECMDGOALS)))

export PG_CONFIG
export DEBUG FAULTS KEEP EVENTS SUITE QUICK TESTS TAP SEED PLAN ROUNDS
# In bash SECONDS counts up by itself.
export TORTURE_SECONDS := $(SECONDS)

.PHONY: $(OWN_GOALS)
.NOTPARALLEL:

packages:
	@test/tools/packages.sh build http test http-test lint bench micro

check:
	@test/tools/packages.sh build http test http-test
	@test/tools/check.sh

check-asan:
	@test/tools/packages.sh build http test http-test
	@test/tools/check-asan.sh

check-valgrind:
	@test/tools/packages.sh build http test long
	@test/tools/check-valgrind.sh

# What takes long by itself is taken at its full length too.
check-long: export READMODEL_LONG := 1
check-long: check check-asan check-valgrind
	@$(MAKE) --no-print-directory torture SECONDS=$(or $(SECONDS),60)

torture:
	@test/tools/packages.sh build http test
	@test/tools/torture.sh

# The HTTP service: built by CMake, and installed with its unit for systemd and an example of its settings.
PREFIX ?= /usr/local

http:
	@test/tools/packages.sh http
	@cmake -S . -B build/http -DCMAKE_BUILD_TYPE=RelWithDebInfo -DPG_CONFIG=$(PG_CONFIG) -DCMAKE_INSTALL_PREFIX=$(PREFIX) >/dev/null
	@cmake --build build/http --target readmodel-http -j 2 >/dev/null

install-http: http
	@DESTDIR=$(DESTDIR) cmake --install build/http --component http

uninstall-http:
	rm -f $(addprefix $(DESTDIR)$(PREFIX)/,bin/readmodel-http lib/systemd/system/readmodel-http.service share/readmodel-http/readmodel-http.conf)
	@! test -d $(DESTDIR)$(PREFIX)/share/readmodel-http || rmdir --ignore-fail-on-non-empty $(DESTDIR)$(PREFIX)/share/readmodel-http

demo:
	@test/tools/packages.sh build http
	@test/demo/demo.sh

bench:
	@test/tools/packages.sh build http bench
	@bench/bench.sh
	@bench/report.pl

bench-report:
	@test/tools/packages.sh bench
	@bench/report.pl

micro-bench:
	@test/tools/packages.sh build micro
	@cmake -S . -B build/micro -DCMAKE_BUILD_TYPE=Release >/dev/null
	@cmake --build build/micro --target micro_bench -j 2 >/dev/null
	@build/micro/micro_bench

format:
	@test/tools/packages.sh lint
	@test/tools/format.sh

lint:
	@test/tools/packages.sh build http test lint
	@test/tools/lint.sh

# "make clean check": what is not ours goes to a make that has PGXS.
PASSED_ON := $(filter-out $(OWN_GOALS),$(MAKECMDGOALS))
ifneq (,$(PASSED_ON))
.PHONY: $(PASSED_ON)
$(PASSED_ON):
	@$(MAKE) --no-print-directory $@
endif

else

PGXS := $(shell $(PG_CONFIG) --pgxs 2>/dev/null)

ifeq (,$(wildcard $(PGXS)))

.PHONY: all install installcheck uninstall clean
all install installcheck uninstall clean:
	@echo 'The files to build extensions for PostgreSQL 15 are missing (PG_CONFIG=$(PG_CONFIG)).' >&2
	@echo 'Install them with "make packages", or set PG_CONFIG.' >&2
	@exit 1

else

EXTENSION   = pg_readmodel
MODULE_big  = pg_readmodel
EXTVERSION := $(shell sed -n "s/^default_version *= *'\(.*\)'/\1/p" pg_readmodel.control)
PGFILEDESC  = "pg_readmodel - read models kept up to date from an event table"

# src/http is a program of its own and src/fold knows nothing of PostgreSQL, but is linked in.
SOURCE_DIRS := src src/pg src/source src/fold src/query src/worker
# The injection points are in no build that does not ask for them.
LEFT_OUT    := $(if $(FAULTS),,src/worker/faults.cpp)
SOURCES     := $(filter-out $(LEFT_OUT),$(sort $(wildcard $(addsuffix /*.cpp,$(SOURCE_DIRS)))))
OBJS        := $(SOURCES:.cpp=.o)

INSTALL_SCRIPT_SQL := $(EXTENSION)--$(EXTVERSION).sql
SCHEMA_PARTS       := $(sort $(wildcard src/schema/*.sql))
DATA_built          = $(INSTALL_SCRIPT_SQL)
DATA                = $(wildcard $(EXTENSION)--*--*.sql)

# Tests share one database and run one after another: REGRESS_FIRST in its order, then the rest by name.
REGRESS_FIRST  ?=
REGRESS        ?= $(REGRESS_FIRST) $(filter-out $(REGRESS_FIRST),$(basename $(notdir $(sort $(wildcard sql/*.sql)))))
REGRESS_OPTS    = --load-extension=$(EXTENSION)
ISOLATION      ?= $(basename $(notdir $(sort $(wildcard test/isolation/specs/*.spec))))
ISOLATION_OPTS  = --inputdir=test/isolation --load-extension=$(EXTENSION)
ifeq (,$(strip $(REGRESS)))
undefine REGRESS
endif
ifeq (,$(strip $(ISOLATION)))
undefine ISOLATION
endif

# The server's headers are not ours to keep free of warnings: -isystem wins over the -I that PGXS adds.
PG_CPPFLAGS  = -Isrc -isystem $(shell $(PG_CONFIG) --includedir-server) -MMD -MP
PG_CPPFLAGS += -DREADMODEL_VERSION='"$(EXTVERSION)"'
# Only what is marked leaves the library; PostgreSQL 15 leaves its own mark empty on this platform.
PG_CPPFLAGS += -DPGDLLEXPORT='__attribute__((visibility("default")))'
PG_CXXFLAGS  = -std=c++20 -Wall -Wextra -fvisibility=hidden
PG_CXXFLAGS += $(if $(DEBUG),-O0 -g -DREADMODEL_ASSERT)
PG_CXXFLAGS += $(if $(FAULTS),-DREADMODEL_FAULTS)
# THROWAWAY=1, for a library that is built to be run once: headers that most sources need are read once, and no debugging information.
PG_CXXFLAGS += $(if $(THROWAWAY),-g0 -include build/common.hpp)
COMMON_HEADERS := <algorithm> <array> <charconv> <functional> <map> <memory> <memory_resource> <optional> <span> <stdexcept> <string> \
    <string_view> <unordered_map> <utility> <vector> "pg/spi.hpp"
SHLIB_LINK   = -lstdc++
# With SANITIZE=1 the library loads only into a server that has libasan preloaded: test/tools/check-asan.sh does that.
ifneq (,$(SANITIZE))
SANITIZERS   = -fsanitize=address,undefined,float-cast-overflow,float-divide-by-zero
# PostgreSQL's -fwrapv defines what a signed overflow does, and so nothing would report one.
# The added branches make GCC see uses of what is not initialised where there are none.
PG_CXXFLAGS += -O1 -g -fno-omit-frame-pointer -fno-wrapv -DREADMODEL_ASSERT -Wno-maybe-uninitialized $(SANITIZERS)
SHLIB_LINK  += $(SANITIZERS)
endif

# The rule for bitcode ignores C++ flags.
override with_llvm := no

EXTRA_CLEAN = $(SOURCES:.cpp=.d) $(wildcard $(addsuffix /*.d,$(SOURCE_DIRS)) $(addsuffix /*.o,$(SOURCE_DIRS))) build

include $(PGXS)

ifneq (,$(DEBUG)$(SANITIZE))
# Fortification needs optimisation and would warn without it; and it hides calls from the sanitizers.
override CPPFLAGS := $(filter-out -D_FORTIFY_SOURCE=%,$(CPPFLAGS))
endif

-include $(OBJS:.o=.d)

# For scripts: make -s print-REGRESS
print-%:
	@echo $($*)

# PGXS tracks neither headers nor flags: objects of another build (DEBUG, another server) are built anew.
BUILD_FLAGS = $(subst ','\'',$(CXX) $(CXXFLAGS) $(CPPFLAGS))
.PHONY: FORCE
build/flags: FORCE
	@mkdir -p build
	@echo '$(BUILD_FLAGS)' | cmp -s - $@ || echo '$(BUILD_FLAGS)' > $@
$(OBJS): build/flags

ifneq (,$(THROWAWAY))
$(OBJS): build/common.hpp.gch
build/common.hpp.gch: build/flags
	@printf '#include %s\n' $(foreach header,$(COMMON_HEADERS),'$(header)') > build/common.hpp
	$(CXX) $(filter-out -include build/common.hpp,$(CXXFLAGS)) $(CPPFLAGS) -x c++-header build/common.hpp -o $@
endif

$(INSTALL_SCRIPT_SQL): $(SCHEMA_PARTS) pg_readmodel.control Makefile
	@{ printf '%s\n' '\echo Use "CREATE EXTENSION $(EXTENSION)" to load this file. \quit'; \
	   for part in $(SCHEMA_PARTS); do printf '\n-- %s\n' "$$part"; cat "$$part"; done; } > $@.tmp
	@mv $@.tmp $@

endif
endif
