#!/bin/bash
# The math library and the library's own objects come after what uses them; directories and headers are prerequisites.
set -euo pipefail

cat > Makefile <<'EOF'
CFLAGS = -O1 -Wall
override CPPFLAGS += -Iinclude

OBJECTS = build/moments.o build/reader.o

.PHONY: all lib clean
all: bin/stats

lib: build/libstats.a

bin/stats: build/main.o build/libstats.a | bin
	$(CC) $(LDFLAGS) -o $@ build/main.o build/libstats.a -lm

build/libstats.a: $(OBJECTS)
	rm -f $@
	$(AR) rcs $@ $(OBJECTS)

build/%.o: src/%.c include/stats.h | build
	$(CC) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

build bin:
	mkdir -p $@

clean:
	rm -rf build bin
EOF
