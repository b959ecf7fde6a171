#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The demo: three nodes, a web page that crosses the fabric, a contract walked through, a crash, and a
# web server that moves away while it is asked, before its node is powered off.
#
#   demo.sh               three QEMU machines that boot over PXE (root)
#   demo.sh --link WHICH  the same over rdma (soft-RoCE), dpdk, or mixed: node1 and node2 by RDMA,
#                         node3 by DPDK
#   demo.sh --hosted      three ordinary processes; no root, no machine
#
# Every step is checked; exit 0 only if all held. Whatever way it ends, also by Ctrl-C, the cluster
# is destroyed. DEMO_TAP=1: one TAP line a step, everything else as comments.
set -u -o pipefail

HERE=$(cd "$(dirname "$0")" && pwd)
SOURCE=$(cd "$HERE/../.." && pwd)
BUILD=${SIPFABRIC_BUILD:-$SOURCE/build}
FABRICCTL=$BUILD/orchestrator/fabricctl
STEPS=9
REQUESTS=200
REQUESTS_AFTER=50
LOAD_SECONDS=4

mode=booted
link=
wants_link=
for argument in "$@"; do
    if [ -n "$wants_link" ]; then
        link=$argument
        wants_link=
        continue
    fi
    case $argument in
    --hosted) mode=hosted ;;
    --link) wants_link=1 ;;
    --link=*) link=${argument#--link=} ;;
    -h | --help)
        sed -n '3,12s/^# \{0,1\}//p' "$0"
        exit 0
        ;;
    *)
        echo "demo: unknown argument '$argument'; see --help" >&2
        exit 2
        ;;
    esac
done
case $link,$mode in
,* | rdma,booted | dpdk,booted | mixed,booted) ;;
*,hosted)
    echo "demo: --link is for machines, not for --hosted" >&2
    exit 2
    ;;
*)
    echo "demo: --link takes rdma, dpdk or mixed, not '$link'" >&2
    exit 2
    ;;
esac
if [ -n "$wants_link" ]; then
    echo "demo: --link takes rdma, dpdk or mixed" >&2
    exit 2
fi

# A shell that waits for a child forgets a Ctrl-C that the child did not die of; `wait` does not.
# So the demo runs in the background, and Ctrl-C becomes a SIGTERM to it.
if [ -z "${DEMO_INNER:-}" ]; then
    signalled=
    DEMO_INNER=1 "$0" "$@" &
    inner=$!
    trap 'signalled=130; kill -TERM "$inner" 2>/dev/null' INT
    trap 'signalled=143; kill -TERM "$inner" 2>/dev/null' TERM HUP
    wait "$inner"
    code=$?
    while kill -0 "$inner" 2>/dev/null; do
        wait "$inner"
        code=$?
    done
    exit "${signalled:-$code}"
fi

export SIPFABRIC_CLUSTER=demo-$$
netns=sipfabric-$SIPFABRIC_CLUSTER
work=$(mktemp -d "${TMPDIR:-/tmp}/sipfabric-demo.XXXXXX") || exit 1
instance=
step=0

# --- saying things -----------------------------------------------------------------------------

say() {
    if [ -n "${DEMO_TAP:-}" ]; then
        sed -u 's/^/# /'
    else
        sed -u 's/^/    /'
    fi
}

seconds() { # since the given EPOCHREALTIME
    awk -v a="$1" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f", b - a }'
}

# --- ending ------------------------------------------------------------------------------------

instance_of_cluster() {
    local base=${XDG_RUNTIME_DIR:-/tmp/sipfabric-$(id -u)}/sipfabric
    [ "$(id -u)" = 0 ] && base=/run/sipfabric
    sed -n 's/.*"instance":[[:space:]]*"\([0-9a-f]*\)".*/\1/p' \
        "$base/$SIPFABRIC_CLUSTER/cluster.json" 2>/dev/null
}

# Live processes of the cluster, as "PID NAME"; a zombie has no environment and is none.
processes_left() {
    local entry
    for entry in /proc/[0-9]*; do
        if tr '\0' '\n' 2>/dev/null <"$entry/environ" | grep -qx "SIPFABRIC_INSTANCE=$instance"; then
            echo "${entry#/proc/} $(cat "$entry/comm" 2>/dev/null)"
        fi
    done
}

finish() {
    local code=$?
    trap '' INT TERM HUP
    trap - EXIT
    if [ "$step" -gt 0 ]; then
        "$FABRICCTL" cluster destroy >/dev/null 2>"$work/destroy" || {
            grep -q "no cluster" "$work/destroy" || say <"$work/destroy"
        }
    fi
    rm -rf "$work"
    exit "$code"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# Runs one step: a function that prints what it saw and answers whether it held.
run_step() {
    local title=$1 begin=$EPOCHREALTIME code
    shift
    step=$((step + 1))
    [ -n "${DEMO_TAP:-}" ] || printf '%s. %s\n' "$step" "$title"
    # Not in a pipe: the variables it sets have to stay.
    "$@" > >(say) 2>&1
    code=$?
    wait $! # until all of it is on the screen
    if [ -n "${DEMO_TAP:-}" ]; then
        [ "$code" = 0 ] && echo "ok $step - $title  ($(seconds "$begin") s)"
        [ "$code" = 0 ] || echo "not ok $step - $title  ($(seconds "$begin") s)"
    elif [ "$code" = 0 ]; then
        printf '   held, %s s\n' "$(seconds "$begin")"
    else
        printf '   FAILED, %s s\n' "$(seconds "$begin")"
    fi
    [ "$code" = 0 ] && return
    [ "$step" = 1 ] || show_more
    exit 1
}

# What helps most after a failed step: what nodes and SIPs say of themselves.
show_more() {
    {
        echo "--- get sips"
        timeout 10 "$FABRICCTL" get sips
        echo "--- get channels"
        timeout 10 "$FABRICCTL" get channels
        for name in web2 web3 tcp node/node1 node/node2 node/node3; do
            echo "--- logs $name"
            timeout 10 "$FABRICCTL" logs "$name" --tail 8
        done
    } 2>&1 | say
}

# --- the outside -------------------------------------------------------------------------------

outside() {
    if [ "$mode" = booted ]; then
        ip netns exec "$netns" "$@"
    else
        "$@"
    fi
}

# fetch PATH: one curl; the page on stdout.
fetch() {
    outside curl --silent --show-error --fail --max-time 20 "http://$address:$port$1"
}

# fetch_many COUNT FILE: that many curl processes, one after the other; pages into FILE.
fetch_many() {
    outside bash -c '
        failed=0
        for ((i = 0; i < $1; i++)); do
            curl --silent --show-error --fail --max-time 20 "$2" || failed=$((failed + 1))
        done
        exit $((failed > 0))' fetch "$1" "http://$address:$port/" >"$2"
}

count_pages() { # FILE NODE
    grep -c "<p>node: $2</p>" "$1"
}

# --- the steps ---------------------------------------------------------------------------------

create() {
    # The images of a build are signed with its own key; a cluster trusts whom it is told to.
    "$FABRICCTL" cluster create --nodes 3 "${create_options[@]}" --trust "$BUILD/sips/dev.pub" ||
        return 1
    instance=$(instance_of_cluster)
    [ -n "$instance" ] || { echo "no instance number in cluster.json"; return 1; }
}

get_nodes() {
    "$FABRICCTL" get nodes || return 1
    "$FABRICCTL" get nodes -o json | python3 "$HERE/check.py" nodes "$mode" node1 node2 node3
}

apply() {
    "$FABRICCTL" apply -f "$graph" --images "$BUILD/sips"
}

# Which driver carries what web2 and web3 say to tcp. With rdma it is there a moment later.
edges_run_over() { # DRIVER DRIVER
    "$FABRICCTL" get channels -o json >"$work/channels" || return 1
    python3 "$HERE/check.py" edges "$1" web2.tcp@node2=tcp.tcp@node1 <"$work/channels" &&
        python3 "$HERE/check.py" edges "$2" web3.tcp@node3=tcp.tcp@node1 <"$work/channels"
}

get_channels() {
    local drivers i
    case $mode,$link in
    hosted,*) drivers="memif memif" ;;
    *,) drivers="virtio virtio" ;;
    *,mixed) drivers="rdma dpdk" ;;
    *) drivers="$link $link" ;;
    esac
    # shellcheck disable=SC2086
    for ((i = 0; i < 50; i++)); do
        edges_run_over $drivers >"$work/edges" && break
        sleep 0.1
    done
    "$FABRICCTL" get channels || return 1
    # shellcheck disable=SC2086
    edges_run_over $drivers
}

request() {
    local node2 node3
    fetch_many "$REQUESTS" "$work/pages" || { echo "some requests were not answered"; return 1; }
    node2=$(count_pages "$work/pages" node2)
    node3=$(count_pages "$work/pages" node3)
    head -6 "$work/pages"
    echo "$((node2 + node3)) of $REQUESTS requests answered: $node2 by node2, $node3 by node3"
    [ -z "$link" ] || "$FABRICCTL" get links -o wide || return 1
    [ "$((node2 + node3))" = "$REQUESTS" ] && [ "$node2" -gt 0 ] && [ "$node3" -gt 0 ]
}

walk() {
    "$FABRICCTL" test contract TcpConnectionContract --exporter tcp --from node3
}

crash() {
    local victim other node answered
    fetch /crash && { echo "/crash was answered as if nothing had happened"; return 1; }
    victim=$(wait_for_fault) || { "$FABRICCTL" get sips; echo "no web SIP faulted"; return 1; }
    other=web2
    [ "$victim" = web2 ] && other=web3
    node=node${other#web}
    "$FABRICCTL" get sips || return 1
    "$FABRICCTL" get channels || return 1
    "$FABRICCTL" get channels -o json | python3 "$HERE/check.py" closed "$victim" "$other" || return 1
    fetch_many "$REQUESTS_AFTER" "$work/pages" || { echo "some requests were not answered"; return 1; }
    answered=$(count_pages "$work/pages" "$node")
    echo "$answered of $REQUESTS_AFTER requests after the crash answered by $node"
    [ "$answered" = "$REQUESTS_AFTER" ] || return 1
    echo "fabricctl logs $victim:"
    "$FABRICCTL" logs "$victim" | tee "$work/logs"
    grep -qi "fault" "$work/logs" || { echo "no fault report in the logs of $victim"; return 1; }
}

# The node reports a fault in its own time: up to 5 s.
wait_for_fault() {
    local i
    for ((i = 0; i < 50; i++)); do
        "$FABRICCTL" get sips -o json 2>/dev/null |
            python3 "$HERE/check.py" faulted web2 web3 && return 0
        sleep 0.1
    done
    return 1
}

# The process that is a node: a machine, or sipnode.
node_pid() { # NODE
    local base=${XDG_RUNTIME_DIR:-/tmp/sipfabric-$(id -u)}/sipfabric
    [ "$(id -u)" = 0 ] && base=/run/sipfabric
    awk -v node="$1" '$3 == node { pid = $1 } END { print pid }' "$base/$SIPFABRIC_CLUSTER/pids"
}

# wait_for_stage NODE STAGE: up to 15 s.
wait_for_stage() {
    local i
    for ((i = 0; i < 150; i++)); do
        "$FABRICCTL" get nodes -o json 2>/dev/null | python3 "$HERE/check.py" stage "$1" "$2" && return 0
        sleep 0.1
    done
    echo "$1 is not $2 after 15 s"
    return 1
}

# The web server that is left moves away while it is asked; then its node is powered off.
drain() {
    local sip node load answered
    "$FABRICCTL" get sips -o json | python3 "$HERE/check.py" running web2 web3 >"$work/running" || {
        echo "no web server runs"
        return 1
    }
    read -r sip node <"$work/running"
    outside wrk -t 1 -c 4 -d "$LOAD_SECONDS" "http://$address:$port/" >"$work/wrk" &
    load=$!
    sleep 1
    "$FABRICCTL" drain "$node" || { kill "$load"; return 1; }
    wait "$load"
    grep -E "requests in|Requests/sec|Non-2xx|Socket errors" "$work/wrk"
    if grep -qE "Non-2xx|Socket errors" "$work/wrk" || ! grep -q "requests in" "$work/wrk"; then
        echo "some requests failed while $sip moved"
        return 1
    fi
    "$FABRICCTL" get moves || return 1
    "$FABRICCTL" verify ownership || return 1
    kill -KILL "$(node_pid "$node")" || return 1
    wait_for_stage "$node" lost || return 1
    "$FABRICCTL" get nodes || return 1
    fetch_many "$REQUESTS_AFTER" "$work/pages" || { echo "some requests were not answered"; return 1; }
    answered=$(grep -c "<p>sip: $sip</p>" "$work/pages")
    echo "$answered of $REQUESTS_AFTER requests answered by $sip, without $node"
    [ "$answered" = "$REQUESTS_AFTER" ]
}

destroy() {
    local left
    "$FABRICCTL" cluster destroy || return 1
    left=$(processes_left)
    [ -z "$left" ] || { printf 'still running:\n%s\n' "$left"; return 1; }
    if [ -e "/run/netns/$netns" ]; then
        echo "network namespace $netns is left"
        return 1
    fi
    if [ "$mode" = booted ] && ip -o link | grep -E ' (t[123][cfg]|br[cfg])[:@]'; then
        echo "those links are left"
        return 1
    fi
    [ -z "$(instance_of_cluster)" ] || { echo "the state folder is left"; return 1; }
    echo "no process, no namespace, no link, no file is left"
}

# --- main --------------------------------------------------------------------------------------

if [ "$mode" = booted ]; then
    address=10.77.0.11
    port=8080
    graph=$SOURCE/sips/web/graph.yaml
    create_options=()
    images=(node-image)
    case $link in
    rdma)
        create_options=(--link-driver rdma --allow-rdma all)
        images+=(node-image-rdma)
        ;;
    mixed)
        create_options=(--link-driver mixed --allow-rdma node1:node2)
        images+=(node-image-rdma)
        ;;
    dpdk) create_options=(--link-driver dpdk) ;;
    esac
    # Not part of a plain build: the first time it downloads Debian's kernel package.
    ninja -C "$BUILD" --quiet "${images[@]}" >&2 || exit 1
else
    address=127.0.0.1
    port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    # A developer's port 8080 may be taken: the same graph, where there is room.
    mkdir "$work/web"
    graph=$work/web/graph.yaml
    sed "s/\"8080\"/\"$port\"/" "$SOURCE/sips/web/graph.yaml" >"$graph"
    create_options=(--hosted)
fi

begin=$EPOCHREALTIME
[ -z "${DEMO_TAP:-}" ] || echo "1..$STEPS"
run_step "fabricctl cluster create --nodes 3${create_options[*]:+ ${create_options[*]}} --trust build/sips/dev.pub" create
run_step "fabricctl get nodes" get_nodes
run_step "fabricctl apply -f sips/web/graph.yaml" apply
run_step "fabricctl get channels" get_channels
run_step "$REQUESTS times curl http://$address:$port/" request
run_step "fabricctl test contract TcpConnectionContract --exporter tcp --from node3" walk
run_step "curl http://$address:$port/crash" crash
run_step "fabricctl drain of the web server's node, under load; then the node is powered off" drain
run_step "fabricctl cluster destroy" destroy
[ -n "${DEMO_TAP:-}" ] || echo "demo: all $STEPS steps held, $(seconds "$begin") s"
