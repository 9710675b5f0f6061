import * as proxmox from "@muhlba91/pulumi-proxmoxve";
import * as pulumi from "@pulumi/pulumi";
import type { NodeSpec } from "../../environment/schema";
import { usedHosts, type Checked } from "./checks";
import type { HostSpec } from "./lookup";

export interface DebianImageArgs {
  /** The Proxmox host that gets it. */
  readonly host: string;
  /** From `checkedBeforehand`: the datastore of that host for content of the type `import` (Proxmox VE 8.4 and later). */
  readonly datastore: pulumi.Input<string>;
  /** What Debian publishes, with the checksum that the host verifies after the download. */
  readonly image: { readonly url: string; readonly fileName: string; readonly sha512: string };
}

/** Debian's cloud image on one Proxmox host, downloaded by the host itself: nothing passes through the machine that runs the program. */
export class DebianImage extends pulumi.ComponentResource {
  /** `<datastore>:import/<file>`, what a disk is imported from. */
  readonly volume: pulumi.Output<string>;

  constructor(name: string, args: DebianImageArgs, opts?: pulumi.ComponentResourceOptions) {
    super("home-cluster:nodes:DebianImage", name, args, opts);
    const file = new proxmox.download.File(
      `${name}-file`,
      {
        nodeName: args.host,
        datastoreId: args.datastore,
        contentType: "import",
        url: args.image.url,
        fileName: args.image.fileName,
        checksum: args.image.sha512,
        checksumAlgorithm: "sha512",
        // With true, each refresh asks Debian for the size and replaces the file when the answer differs.
        overwrite: false,
        // A file of this very name is this very build: left by `destroy` (below), or forgotten by a refresh that met a 401 (tried). Downloaded again and verified,
        // instead of failing with "refusing to override existing file".
        overwriteUnmanaged: true,
        // Seconds; the provider's 600 is short for 400 MB on a slow line.
        uploadTimeout: 1800,
      },
      {
        parent: this,
        // Create-first would meet the old file of the same name, then delete the new one with the old state.
        deleteBeforeReplace: true,
        // Another environment on the same host may import from the same file, and machines that exist need it no more.
        retainOnDelete: true,
      },
    );
    this.volume = file.id;
    this.registerOutputs({ volume: this.volume });
  }
}

/** An image on each Proxmox host that one of the nodes uses, and how a node finds that of its host. */
export function imagesFor(
  nodes: readonly NodeSpec[],
  hosts: readonly HostSpec[],
  image: DebianImageArgs["image"],
  checked: Pick<Checked, "imageDatastore">,
  opts: pulumi.ComponentResourceOptions,
): (node: NodeSpec) => pulumi.Output<string> {
  const images = new Map(
    usedHosts(hosts, nodes).map(({ name: host }) => [
      host,
      new DebianImage(`debian-image-${host}`, { host, datastore: checked.imageDatastore(host), image }, opts),
    ]),
  );
  return (node) => {
    const found = images.get(node.host);
    if (found) return found.volume;
    throw new Error(`${node.name}: host ${node.host} is not one of ${hosts.map((host) => host.name).join(", ")}`);
  };
}
