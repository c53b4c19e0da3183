#!/bin/bash
# The first process of the cluster's own pid, mount and network namespaces: everything in the cluster ends with it.
# It sets the namespaces up, then adopts and reaps what loses its parent (bash does that by itself).
set -eu
state=${state}
root=$state/root

# What the machine mounts later still arrives here; nothing goes back.
mount --make-rslave /
mount --make-rshared /
mount -t proc proc /proc

# The kubelet would set these for the whole machine. Here it finds them as it wants them.
sysctl() {
    mkdir -p "$root/sysctl"
    echo "$2" >"$root/sysctl/$1"
    mount --bind "$root/sysctl/$1" "/proc/sys/$(echo "$1" | tr . /)"
}
sysctl vm.overcommit_memory 1
sysctl vm.panic_on_oom 0
sysctl kernel.panic 10
sysctl kernel.panic_on_oops 1
sysctl kernel.keys.root_maxkeys 1000000
sysctl kernel.keys.root_maxbytes 25000000

# The machine's own /run, /var/lib and /var/log stay out of sight: what is written there by fixed path lands in our state.
mkdir -p "$root/lib/kubelet" "$root/lib/etcd" "$root/lib/containerd" "$root/lib/${relative_state}" "$root/log"
mount -t tmpfs -o mode=755 tmpfs /run
mount --bind ${images} "$root/lib/containerd"
mount --bind "$state" "$root/lib/${relative_state}"
mount --bind "$root/log" /var/log
mount --rbind "$root/lib" /var/lib

# The other end of the link appears before this line does; an early end of the starter ends this, too.
read -r _
ip link set lo up
ip address add ${node_address}/30 dev eth0
ip link set eth0 up
echo 1 >/proc/sys/net/ipv4/ip_forward
# kube-proxy's rules only see what has a route. A Service without endpoints is refused there, all the rest ends here.
ip link add services type bridge
ip link set services up
ip route add ${service_range} dev services
# There is no default route: nothing in here can reach beyond this machine.
touch "$state/run/ready"

exec </dev/null
while :; do
    sleep infinity &
    wait $!
done
