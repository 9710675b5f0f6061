import * as proxmox from "@muhlba91/pulumi-proxmoxve";
import * as pulumi from "@pulumi/pulumi";
import type { NodeSpec } from "../../environment/schema";
import { guestUser } from "../../operations/nodes/host-key";
import { diskDatastore, networkOf, type HostSpec, type NetworkSpec } from "./lookup";
import { clusterTag } from "./checks";

export interface DebianVmArgs {
  readonly node: NodeSpec;
  /** From `checkedBeforehand`: the node's own id, known only once every check has passed. */
  readonly vmId: pulumi.Input<number>;
  /** The image's volume on the node's host. */
  readonly image: pulumi.Input<string>;
  readonly hosts: readonly HostSpec[];
  readonly networks: readonly NetworkSpec[];
  readonly domain: string;
  /** The cluster's name. */
  readonly cluster: string;
  /** OpenSSH public key of the operator. */
  readonly sshPublicKey: string;
}

/** The machine of a Debian node. Why each argument is there: docs/decisions/vm-arguments.md. */
export class DebianVm extends pulumi.ComponentResource {
  /** The machine's id in the engine: unknown while a new machine takes its place, so what depends on it is replaced with it. */
  readonly machine: pulumi.Output<string>;
  readonly vmId: pulumi.Output<number>;

  constructor(name: string, args: DebianVmArgs, opts?: pulumi.ComponentResourceOptions) {
    super("home-cluster:nodes:DebianVm", name, args, opts);
    const { node } = args;
    const disks = disksOf(args);
    const vm = new proxmox.VmLegacy(
      `${name}-machine`,
      {
        nodeName: node.host,
        vmId: args.vmId,
        name: node.name,
        description: `Node of the cluster ${args.cluster}, declared by home-cluster`,
        tags: ["debian", clusterTag(args.cluster)].sort(),
        onBoot: true,
        started: true,
        operatingSystem: { type: "l26" },
        scsiHardware: "virtio-scsi-single",
        // Proxmox's own default for new machines; `host` would tie the machine to one generation of processors.
        cpu: { cores: node.cores, sockets: 1, type: "x86-64-v2-AES" },
        memory: { dedicated: node.memory * 1024 },
        disks,
        bootOrders: ["scsi0"],
        // Without this the provider attaches the host's physical drive and boots from it first (tried).
        cdrom: { fileId: "none", interface: "ide3" },
        networkDevices: cardsOf(args),
        // Debian's cloud kernel has no graphics, and panics on some hosts without a serial port.
        serialDevices: [{ device: "socket" }],
        vga: { type: "serial0" },
        // The image comes without the agent; waiting for it would cost the whole timeout at create and at each refresh.
        agent: { enabled: true, type: "virtio", trim: true, timeout: "1m", waitForIp: { disabled: true } },
        initialization: initializationOf(args),
        // A node that is destroyed has left the cluster and was drained: nothing on it is worth a shutdown that may hang.
        stopOnDestroy: true,
        // The provider's default deletes every volume whose name fits the id, attached or not.
        deleteUnreferencedDisksOnDestroy: false,
        // Changed memory, cores or keys wait for a restart after a drain; the provider's own would come unasked, in the middle of an `up`.
        rebootAfterUpdate: false,
        timeoutCreate: 900,
        timeoutStartVm: 300,
        timeoutShutdownVm: 180,
        timeoutStopVm: 120,
      },
      {
        parent: this,
        // The engine's guard and not Proxmox's flag: with that alone the provider powers the machine off before it is refused (tried).
        protect: node.protect,
        // The id is fixed, so two cannot exist.
        deleteBeforeReplace: true,
        ignoreChanges: [
          // A difference that the provider invents on each disk, forever (tried); only one entry per existing disk silences it.
          ...disks.map((_, index) => `disks[${index}].speed`),
          // A newer image is for new machines.
          "disks[0].importFrom",
          // Who powered a node off had a reason; the next `up --refresh` must not start it.
          "started",
        ],
      },
    );
    this.machine = vm.id;
    this.vmId = vm.vmId;
    this.registerOutputs({ machine: this.machine, vmId: this.vmId });
  }
}

type Disk = proxmox.types.input.VmLegacyDisk;

/** The system disk from the image and, on storage nodes, one for Longhorn, in the order of their interfaces. */
function disksOf({ node, image, hosts }: DebianVmArgs): Disk[] {
  const common = {
    datastoreId: diskDatastore(hosts, node),
    discard: "on",
    ssd: true,
    iothread: true,
    aio: "io_uring",
    cache: "none",
    backup: true,
    replicate: true,
  };
  const system = { interface: "scsi0", size: node.systemDisk, importFrom: image, ...common };
  return node.dataDisk === undefined ? [system] : [system, { interface: "scsi1", size: node.dataDisk, ...common }];
}

function cardsOf({ node, networks }: DebianVmArgs): proxmox.types.input.VmLegacyNetworkDevice[] {
  return node.cards.map((card) => {
    const network = networkOf(networks, card.network);
    return {
      bridge: network.bridge,
      model: "virtio",
      macAddress: card.mac,
      ...(network.vlan !== undefined && { vlanId: network.vlan }),
      firewall: false,
    };
  });
}

/** Proxmox's own cloud-init: user, key, addresses, DNS. All of it changes in place, unlike files handed to cloud-init. */
function initializationOf(args: DebianVmArgs): proxmox.types.input.VmLegacyInitialization {
  const cards = args.node.cards.map((card) => ({ card, network: networkOf(args.networks, card.network) }));
  const servers = cards[0]?.network.dns ?? [];
  return {
    type: "nocloud",
    interface: "ide2",
    datastoreId: diskDatastore(args.hosts, args.node),
    dns: { domain: args.domain, ...(servers.length > 0 && { servers }) },
    ipConfigs: cards.map(({ card, network }, index) => ({
      ipv4: {
        address: `${card.address}/${network.cidr.split("/")[1] ?? ""}`,
        // One default route; what comes in through another card is answered through it by marks (provisioning).
        ...(index === 0 && network.gateway !== undefined && { gateway: network.gateway }),
      },
    })),
    userAccount: { username: guestUser, keys: [args.sshPublicKey] },
  };
}
