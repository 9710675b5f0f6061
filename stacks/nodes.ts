import { checkedBeforehand } from "../components/nodes/checks";
import { imagesFor } from "../components/nodes/debian-image";
import { DebianNode } from "../components/nodes/debian-node";
import { warnOfPending } from "../components/nodes/pending";
import { debianImage } from "../versions";
import type { Context, Declared, NodesOutputs } from "./context";
import { access, operationsProvider, proxmoxProvider } from "./providers";

/** The layer nodes: ids and hosts checked, Debian's image on each host that a node uses, then every node. */
export function nodes(context: Context): Declared<NodesOutputs> {
  const { cluster, proxmox, domain, networks, sshPublicKey, nodes: specs, oldNodes, retirement } = context.file;
  const operations = operationsProvider();
  const providers = [proxmoxProvider(context), operations];
  const ways = access(context, ["proxmox", "rancher", "kubernetes", "ssh"]);

  const checked = checkedBeforehand(
    { cluster: cluster.name, nodes: specs, hosts: proxmox.hosts, oldNodes, access: ways },
    { provider: operations },
  );
  warnOfPending({ nodes: specs, access: ways }, { provider: operations });
  const image = imagesFor(specs, proxmox.hosts, debianImage(), checked, { providers });
  const members = specs.map((node) => {
    const debian = new DebianNode(
      node.name,
      {
        node,
        vmId: checked.vmId(node),
        image: image(node),
        hosts: proxmox.hosts,
        networks,
        domain,
        cluster: cluster.name,
        distribution: cluster.distribution,
        snapshotHours: retirement.snapshotHours,
        sshPublicKey,
        access: ways,
      },
      { providers },
    );
    return [node.name, debian.reach] as const;
  });
  return { nodes: Object.fromEntries(members) };
}
