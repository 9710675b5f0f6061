import { spawnSync } from "node:child_process";

/** How kube-proxy does its work. */
export type ProxyMode = "iptables" | "nftables";

/** What the lab's network is made of. */
const network = `
ip link add name bridge0 type bridge
ip link add name veth0 type veth peer name veth1
sysctl -q -w net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=1
mount -t sysfs none /sys
nft 'table ip probe { chain forward { type filter hook forward priority 0; ct state invalid drop; }; }'
sysctl -q -w net.netfilter.nf_conntrack_tcp_loose=0
`;

/** A rule of every sort that kube-proxy writes for a Service of this kind. */
const rules: Readonly<Record<ProxyMode, string>> = {
  iptables: `
iptables -w -A FORWARD -m conntrack --ctstate INVALID -j DROP
iptables -w -A FORWARD -m comment --comment probe -m mark --mark 0x4000/0x4000 -j ACCEPT
iptables -w -A INPUT -j REJECT
iptables -w -t nat -A PREROUTING -m addrtype --dst-type LOCAL -j ACCEPT
iptables -w -t nat -A PREROUTING -m statistic --mode random --probability 0.5 -j MARK --or-mark 0x4000
iptables -w -t nat -A PREROUTING -p tcp -m tcp --dport 80 -j DNAT --to-destination 192.0.2.1:80
iptables -w -t nat -A POSTROUTING -j MASQUERADE --random-fully
`,
  nftables: `
nft 'table ip probe {
  chain nat {
    type nat hook postrouting priority 100;
    fib daddr type local meta mark set meta mark or 0x4000
    masquerade fully-random
  }
  chain pods {
    type nat hook prerouting priority -100;
    meta l4proto tcp dnat ip to numgen random mod 2 map { 0 : 192.0.2.1 . 80, 1 : 192.0.2.2 . 80 }
  }
  chain none {
    type filter hook input priority 0;
    ct state new reject
  }
}'
`,
};

/** Why the kernel, or what programs make of it, carries no such node; undefined when it does. Tried in a namespace that ends with it. */
export function cannotProxy(mode: ProxyMode): string | undefined {
  const around = ["--net", "--mount", "sh", "-e", "-c", network + rules[mode]];
  const { status, stderr } = spawnSync("unshare", around, { encoding: "utf8" });
  return status === 0
    ? undefined
    : `this kernel takes no rules as kube-proxy's by ${mode}: ${stderr.trim().split("\n")[0]}`;
}
