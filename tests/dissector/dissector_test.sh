#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Reads frames of the fabric with tshark and the dissectors of the contracts they speak.
# usage: dissector_test.sh CONTRACTC FRAMES STD. FRAMES writes a pcap file. Prints TAP.
set -u
contractc=$1
frames=$2
std=$3
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT INT TERM
export HOME="$work" # no settings of the user
number=0

ok() { # DESCRIPTION STATUS
    number=$((number + 1))
    if [ "$2" -eq 0 ]; then echo "ok $number - $1"; else echo "not ok $number - $1"; fi
}

read_frames() { # FILE TSHARK_ARGUMENT...
    file=$1
    shift
    tshark -r "$file" -X "lua_script:$work/HelloContract.lua" \
        -X "lua_script:$work/TcpContract.lua" \
        -X "lua_script:$work/TcpConnectionContract.lua" "$@" 2>"$work/err"
    answer=$?
    ! grep -i 'lua' "$work/err" >&2 && [ $answer -eq 0 ]
}

same() { # DESCRIPTION: $work/out against $work/expected
    diff "$work/expected" "$work/out" >"$work/diff"
    answer=$?
    sed 's/^/# /' "$work/diff"
    ok "$1" $answer
}

"$contractc" compile -w --emit dissector -o "$work" "$std"/*.contract
ok "dissectors are written" $?
"$frames" "$work/frames.pcap"
ok "two nodes talk" $?

cat >"$work/expected" <<'END'
HelloContract;Hello;importer;Start;Start.1;name block of 5 bytes
HelloContract;Greeting;exporter;Start.1;Start;text block of 12 bytes
HelloContract;Bye;importer;Start;Done;
TcpContract;Ready;exporter;Start;ReadyState;
TcpContract;CreateTcpSession;importer;ReadyState;ReadyState.1;endpoint TcpConnectionContract.Exp:Start
TcpContract,TcpConnectionContract;Ack,Ready;exporter,exporter;ReadyState.1,Start;ReadyState,ReadyState;
TcpConnectionContract;Connect;importer;ReadyState;ConnectResult;dstIP 2130706433,dstPort 80
TcpConnectionContract;CouldNotConnect;exporter;ConnectResult;ReadyState;error Refused (3)
END
fields="-Y sipfabric.message -T fields -E separator=; -e sipfabric.contract -e sipfabric.message
    -e sipfabric.sender -e sipfabric.state -e sipfabric.next -e sipfabric.arg"
# shellcheck disable=SC2086
read_frames "$work/frames.pcap" $fields >"$work/out"
ok "tshark reads them" $?
same "messages, states and arguments have their names"
# shellcheck disable=SC2086
read_frames "$work/frames.pcap" -2 $fields >"$work/out"
same "and the same ones when read a second time"

read_frames "$work/frames.pcap" -Y 'sipfabric.record == 1' -T fields -e sipfabric.export \
    -e sipfabric.contract -e sipfabric.again >"$work/out"
printf 'greeter.hello\tHelloContract\t\ntcp.tcp\tTcpContract\t\ntcp.tcp\tTcpContract\t1\n' \
    >"$work/expected"
sed -i 's/True/1/' "$work/out"
same "channels open with name and contract; what is sent again is marked"
read_frames "$work/frames.pcap" -Y 'sipfabric.illegal || sipfabric.malformed' >"$work/out"
: >"$work/expected"
same "nothing is illegal or malformed"

read_frames "$work/frames.pcap" -Y 'sipfabric.kind == 2' -T fields -e sipfabric.source \
    -e sipfabric.target -e sipfabric.mtu -e sipfabric.source_epoch | sort -u >"$work/out"
printf '1\t2\t1024\t1\n2\t1\t1024\t1\n' >"$work/expected"
same "hellos say who talks to whom"
read_frames "$work/frames.pcap" -Y 'sipfabric.kind != 2' -T fields -e ip.src \
    -e sipfabric.source -e sipfabric.target | sort -u >"$work/out"
printf '10.77.0.1\t1\t2\n10.77.0.2\t2\t1\n' >"$work/expected"
same "and every other frame is known by its session"
read_frames "$work/frames.pcap" -Y 'sipfabric.message == "Connect"' -T fields \
    -e sipfabric.flags -e sipfabric.body_bytes >"$work/out"
printf '0x01\t15\n' >"$work/expected" # target, tag, 4 bytes and 2
same "scalars come without their kinds"

# The same file with another tag in Bye, with a record that is longer than its frame, and with bytes
# that are anything.
cat >"$work/damage.py" <<'END'
import random, struct, sys
data = bytearray(open(sys.argv[1], "rb").read())
frames, at = [], 24
while at < len(data):
    length = struct.unpack_from("<I", data, at + 8)[0]
    frames.append((at + 16 + 42, length - 42))
    at += 16 + length

def record(frame):
    return frame + 24 + 8 * data[frame + 1]

bye = next(record(f) for f, n in frames
           if data[f] == 0x21 and data[record(f)] == 2 and data[record(f) + 12] == 0)
for name, change in (("illegal", (12, 1)), ("malformed", (2, 200))):
    changed = bytearray(data)
    changed[bye + change[0]] = change[1]
    open(f"{sys.argv[2]}/{name}.pcap", "wb").write(changed)
random.seed(7)
with open(f"{sys.argv[2]}/noise.pcap", "wb") as out:
    out.write(data[:24])
    for _ in range(20):
        changed = bytearray(data)
        for frame, length in frames:
            for _ in range(3):
                changed[frame + random.randrange(1, min(50, length))] = random.randrange(256)
        out.write(changed[24:])
END
python3 "$work/damage.py" "$work/frames.pcap" "$work"
ok "damaged copies" $?
read_frames "$work/illegal.pcap" -Y sipfabric.illegal -T fields -e sipfabric.message \
    -e sipfabric.state >"$work/out"
printf 'Greeting\tStart\n' >"$work/expected"
same "an illegal message is shown as such"
read_frames "$work/malformed.pcap" -Y sipfabric.malformed -T fields -e sipfabric.record >"$work/out"
[ "$(wc -l <"$work/out")" -eq 1 ]
ok "a malformed record is shown as such" $?
"$frames" "$work/sealed.pcap" sealed
ok "two nodes talk in secret" $?
read_frames "$work/sealed.pcap" -Y 'sipfabric.message || sipfabric.malformed' >"$work/out"
: >"$work/expected"
same "of a sealed session nothing is read"
read_frames "$work/sealed.pcap" -Y 'sipfabric.kind == 1' -T fields -e frame.number >"$work/expected"
read_frames "$work/sealed.pcap" -Y 'sipfabric.sealed && sipfabric.seal' -T fields -e frame.number \
    >"$work/out"
[ "$(wc -l <"$work/out")" -gt 8 ]
ok "but that there are records" $?
same "all of them are shown as sealed"
read_frames "$work/sealed.pcap" -Y 'sipfabric.handshake' -T fields -e sipfabric.handshake |
    cut -c 97- | sort -u >"$work/out"
printf '\n' >"$work/expected" # 48 bytes, no more
same "hellos have the handshake's messages"
read_frames "$work/noise.pcap" -V >"$work/out" && ! grep -q 'Lua Error' "$work/out"
ok "frames with random bytes in them: no error in the dissector" $?
echo "1..$number"
