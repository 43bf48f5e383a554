#!/bin/sh
# Takes the place of QEMU: prints what a guest might send over the serial port, and exits as QEMU
# might. The name of the image (-kernel) and the names of the test cases tell it what to do.

while [ $# -gt 0 ]; do
    case $1 in
        --version) echo "QEMU emulator version 0.0 (a shell script)"; exit 0 ;;
        -kernel) image=${2##*/}; shift ;;
        -append) command_line=$2; shift ;;
        -device)
            case $2 in
                no-such*,help | "$NO_DEVICE",help) echo "'${2%,help}' is not a valid device model name" >&2; exit 1 ;;
                *,help) exit 0 ;;
            esac ;;
        -drive) disk=${2##*file=}; shift ;;
    esac
    shift
done
for word in $command_line; do
    case $word in
        scenario=*) scenario=${word#*=} ;;
        cases=*) cases=${word#*=} ;;
        cycles=*) cycles=${word#*=} ;;
        cma=*) cma=${word#*=} ;;
        fault=*) fault=${word#*=} ;;
        samples=*) samples=${word#*=} ;;
        trace=*) trace=${word#*=} ;;
    esac
done

say() { printf '@pb %s\n' "$1"; }
log() { printf '[info] %s\n' "$1"; }

case $image in
    unbootable) echo "could not load kernel '$image'" >&2; exit 1 ;;
    resets-early) exit 0 ;;
    ended) say "hello 2 4 1000"; echo "qemu: terminating on signal 15 from pid 7 (sh)" >&2; exit 0 ;;
    panics-early) log "almost up"; say "panic src/x.rs:1 no memory"; exit 37 ;;
esac
log "booting"
say "hello 2 4 1000"

list_cases() {
    say "case good::one plain"
    say "case bad::panics explicit"
    say "done held"
    exit 33
}

run_cases() {
    exit=33 done=held
    IFS=,
    for name in $cases; do
        case $name in
            odd::ignored) continue ;;
            odd::unstarted) say "pass $name"; continue ;;
        esac
        say "start $name"
        case $name in
            bad::fails) say "fail $name tests/bad.rs:7 left: 1\\nright: 2"; exit=35 done=broken ;;
            bad::panics) say "panic tests/bad.rs:9 on purpose"; exit 37 ;;
            bad::faults) say "fault page-fault at 0x10"; exit 39 ;;
            bad::hangs) exec sleep 600 ;;
            bad::resets) exit 0 ;;
            bad::kills) kill -9 $$ ;;
            odd::last) say "pass $name"; exit 0 ;;
            odd::lies) say "pass $name"; exit=35 done=broken ;;
            odd::endless) ;;
            good::skips) say "skip $name one CPU only" ;;
            *) say "pass $name" ;;
        esac
    done
    say "done $done"
    exit $exit
}

run_cma() {
    case $image in
        panics) say "panic kernel/src/x.rs:7 no way out"; exit 37 ;;
        hangs-late) say "stat audits 77"; exec sleep 600 ;;
        killed-by-gdb) echo "qemu-system-x86_64: QEMU: Terminated via GDBstub" >&2; exit 0 ;;
        hangs) log "about to hang"; exec sleep 600 ;;
        floods) while :; do say "progress 1 2 without end"; done ;;
        resets) exit 0 ;;
        killed) kill -9 $$ ;;
        mute) say "done held"; exit 33 ;;
        torn) say "stat audits @pb stat failed 0" ;;
    esac
    step=0
    while [ $step -lt "$cycles" ]; do
        step=$((step + 1))
        say "progress $step $cycles contiguous allocations"
        case $image in slow) sleep 0.2 ;; esac
    done
    missed=0 done=held exit=33
    case $image in
        drifts) missed=512 done=broken exit=35 ;;
        denies) missed=512 ;;
        disagrees) done=broken ;;
    esac
    case $fault in
        "" | skipped-account) ;;
        *) say "refused no such fault: \`$fault\`; there is: skipped-account"; exit 41 ;;
    esac
    [ -z "$fault" ] || { missed=5120 done=broken exit=35; }
    [ -z "$samples" ] || {
        say "sample exact 1000 audit 5000 5000"
        say "sample contiguous-allocation 2000 latency 1500 100 900 200 300"
        say "sample exact 3000 audit 4000 4000"
    }
    [ -z "$trace" ] || {
        say "event 1 2000 Refill { blocks: 63 }"
        say "event 0 1000 AllocFailed { order: 3 }"
    }
    say "stat cma_area_mib $(((cma + 1) / 2 * 2))"
    say "stat succeeded $cycles"
    say "stat failed 0"
    say "stat missed_pages $missed"
    say "stat max_abs_drift_pages $missed"
    say "stat audits 1234"
    say "stat pages_migrated 61234"
    say "stat contents_checked 234567"
    say "stat contents_corrupted 0"
    say "stat allocations 1234567"
    say "stat latency_us.min 1100"
    say "stat latency_us.p50 5000"
    say "stat latency_us.p99 9900"
    say "stat latency_us.max 12345"
    say "stat wall_ms 9876"
    [ $missed = 0 ] || say "broken zone DMA32: free is $missed too high"
    say "done $done"
    exit $exit
}

# Each end of a disk: what was written is there, or was lost, or the file is damaged.
run_dma() {
    written=0
    case $image in
        loses-writes) written=3 ;;
        damages) printf x | dd of="$disk" bs=1 seek=9000 conv=notrunc 2>/dev/null ;;
        truncates) : > "$disk" ;;
    esac
    say "stat requests 9"
    for key in bytes disk_corrupted buffers buffers_refused isolations_refused missed_pages \
        max_abs_drift_pages audits pages_migrated contents_checked contents_corrupted allocations \
        latency_us.min latency_us.p50 latency_us.p99 latency_us.max wall_ms; do
        say "stat $key 0"
    done
    say "stat disk_blocks_written $written"
    say "done held"
    exit 33
}

case $scenario in
    dma) run_dma ;;
    list-cases) list_cases ;;
    cases) run_cases ;;
    cma) run_cma ;;
    *) say "refused \`scenario=$scenario\`: not in this guest"; exit 41 ;;
esac
