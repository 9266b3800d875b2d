#!/usr/bin/env bash
# cluster.sh COMMAND [ARGUMENT…]
#
# Runs a command beside a real Slurm of two nodes, node1 and node2, which ends with it:
#
#   tests/slurm/cluster.sh srun -N 2 -n 4 hostname
#   tests/slurm/cluster.sh bash
#
# Everything is in namespaces of its own (processes, mounts, network), and every node in another
# network and under another host name: what runs on two nodes crosses a network. Two clusters at
# once know nothing of each other, and of one that is killed the kernel removes all that was there.
# The nodes share the machine's files. There is no way to the network outside.
#
# Exit code: the command's; 69 with one line that says why where there can be no cluster. That needs
# root and Debian's packages of Slurm, which are installed where they are missing.
set -euo pipefail

readonly UNAVAILABLE=69  # EX_UNAVAILABLE of sysexits.h
readonly NET=10.0.0
NODES=(node1 node2)
PATH=$PATH:/usr/sbin:/sbin

refuse() { echo "cluster.sh: no Slurm here: $*" >&2; exit "$UNAVAILABLE"; }

apt() { DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 timeout --kill-after=5 "$1" apt-get -qq \
    -o Acquire::Retries=0 -o Acquire::http::Timeout=10 -o DPkg::Lock::Timeout=60 "${@:2}" >&2; }

install_missing() {
    local want=() pair
    for pair in munged:munge slurmctld:slurmctld slurmd:slurmd srun:slurm-client ip:iproute2; do
        command -v "${pair%:*}" > /dev/null || want+=("${pair#*:}")
    done
    [ ${#want[@]} -gt 0 ] || return 0
    command -v apt-get > /dev/null || refuse "${want[*]} missing, and no apt-get to install them"
    echo "cluster.sh: installing ${want[*]}" >&2
    # RUNLEVEL=1 keeps the packages from starting their daemons. The lists may be old, or none.
    apt 300 install -y --no-install-recommends "${want[@]}" ||
        { apt 60 update && apt 300 install -y --no-install-recommends "${want[@]}"; } ||
        refuse "apt-get could not install ${want[*]}"
}

network() {  # a bridge, and a namespace with one end of a cable for every node
    local i=0 node
    mount -t tmpfs tmpfs /run && mkdir /run/netns /run/slurm &&
    hostname head && ip link set lo up &&
    ip link add bridge type bridge && ip addr add "$NET.254/24" dev bridge &&
    ip link set bridge up || return
    printf '127.0.0.1 localhost\n%s.254 head\n' "$NET" > /run/hosts
    for node in "${NODES[@]}"; do
        i=$((i + 1))
        echo "$NET.$i $node" >> /run/hosts
        ip netns add "$node" && ip link add "to-$node" type veth peer name eth0 netns "$node" &&
        ip link set "to-$node" master bridge up && ip -n "$node" addr add "$NET.$i/24" dev eth0 &&
        ip -n "$node" link set lo up && ip -n "$node" link set eth0 up || return
    done
    mount --bind /run/hosts /etc/hosts
}

configure() {  # cred_expire and the intervals let a job run again seconds after it was requeued
    local node i=0
    head -c 1024 /dev/urandom > /run/slurm/munge.key && chmod 600 /run/slurm/munge.key
    : > /run/slurm/cgroup.conf
    cat > "$SLURM_CONF" <<-CONF
	ClusterName=tests
	SlurmctldHost=head($NET.254)
	SlurmUser=root
	AuthInfo=socket=/run/slurm/munge.socket,cred_expire=5
	SchedulerParameters=sched_interval=2,bf_interval=2
	StateSaveLocation=/run/slurm/state
	SlurmdSpoolDir=/run/slurm/spool-%n
	SlurmctldPidFile=/run/slurm/slurmctld.pid
	SlurmdPidFile=/run/slurm/%n.pid
	ProctrackType=proctrack/linuxproc
	TaskPlugin=task/none
	JobAcctGatherType=jobacct_gather/none
	AccountingStorageType=accounting_storage/none
	SelectType=select/cons_tres
	SelectTypeParameters=CR_CPU
	SlurmdParameters=config_overrides
	ReturnToService=2
	KillWait=55
	PartitionName=all Nodes=ALL Default=YES OverSubscribe=YES
	CONF
    for node in "${NODES[@]}"; do
        i=$((i + 1))
        echo "NodeName=$node NodeAddr=$NET.$i CPUs=2 RealMemory=1024" >> "$SLURM_CONF"
    done
}

await() {  # await SECONDS WHAT COMMAND…
    local end=$((SECONDS + $1)) what=$2
    shift 2
    until "$@" > /dev/null 2>&1; do
        if [ "$SECONDS" -ge "$end" ]; then
            tail -n 20 /run/slurm/*.log >&2
            refuse "$what did not start"
        fi
        sleep 0.2
    done
}

idle() { [ "$(sinfo --noheader --Node --format %t | grep -cx idle)" = ${#NODES[@]} ]; }

daemon() { local log=/run/slurm/$1.log; shift; "$@" < /dev/null > "$log" 2>&1 & }

on_node() {  # on_node NAME COMMAND…: in the node's network, under its name
    local node=$1
    shift
    nsenter --net="/run/netns/$node" unshare --uts sh -c 'hostname "$0"; exec "$@"' "$node" "$@"
}

inside() {  # the first process of the new namespaces: they end with it
    local reason node
    reason=$(network 2>&1) || refuse "no network of its own (${reason##*$'\n'})"
    export SLURM_CONF=/run/slurm/slurm.conf
    configure
    daemon munged munged --foreground --force --num-threads=2 --key-file=/run/slurm/munge.key \
        --socket=/run/slurm/munge.socket --pid-file=/run/slurm/munged.pid \
        --log-file=/run/slurm/munged.log --seed-file=/run/slurm/munged.seed
    await 60 munged munge --no-input --socket=/run/slurm/munge.socket
    daemon slurmctld slurmctld -D -i
    await 60 slurmctld scontrol ping
    for node in "${NODES[@]}"; do
        daemon "$node" on_node "$node" slurmd -D -N "$node"
    done
    await 60 "a node" idle
    "$@"
}

if [ "${1:-}" = --inside ] && [ $$ = 1 ]; then
    shift
    inside "$@"
    exit
fi
[ $# -gt 0 ] || { sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0"; exit 2; }
[ "$EUID" = 0 ] || refuse "it needs root"
spaces=(--fork --kill-child --pid --mount-proc --mount --net --uts)
reason=$(unshare "${spaces[@]}" true 2>&1) || refuse "no namespaces (${reason:-unshare failed})"
install_missing
exec unshare "${spaces[@]}" -- "$BASH" "$0" --inside "$@"
