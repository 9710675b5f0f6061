import assert from "node:assert/strict";
import * as pulumi from "@pulumi/pulumi";
import { DebianImage, imagesFor } from "../../../../components/nodes/debian-image";
import { environment } from "../../../support/environment";
import { run } from "../../../support/nodes";
import { names, summaries } from "../../../support/services";

const image = {
  url: "https://cloud.debian.org/images/cloud/trixie/1/debian-13-genericcloud-amd64-1.qcow2",
  fileName: "debian-13-genericcloud-amd64-1.qcow2",
  sha512: "checksum-of-these-tests",
};
const checked = { imageDatastore: (host: string) => pulumi.output(`store-of-${host}`) };
const args = { host: "pve", datastore: "local", image };

describe("components/nodes/debian-image (does not prove that Proxmox downloads it)", () => {
  it("registers the download, verified by checksum, kept when it is destroyed, and never beside its successor", async () => {
    const recording = await run((opts) => new DebianImage("image", args, opts));
    assert.deepEqual(summaries(recording), [
      {
        name: "image",
        type: "home-cluster:nodes:DebianImage",
        parent: "home-cluster-test-nodes",
        provider: "",
        inputs: args,
      },
      {
        name: "image-file",
        type: "proxmoxve:download/file:File",
        parent: "image",
        provider: "proxmox",
        inputs: {
          nodeName: "pve",
          datastoreId: "local",
          contentType: "import",
          url: image.url,
          fileName: image.fileName,
          checksum: image.sha512,
          checksumAlgorithm: "sha512",
          overwrite: false,
          overwriteUnmanaged: true,
          uploadTimeout: 1800,
        },
        options: { deleteBeforeReplace: true, retainOnDelete: true },
      },
    ]);
  });

  it("registers one on each host that a node uses, none on others, and the same in a preview", async () => {
    const lab = environment("lab", (file) => {
      file.proxmox.hosts.push({ ...file.proxmox.hosts[0], name: "pve-c", address: "172.20.10.4" } as never);
    });
    for (const preview of [false, true]) {
      const recording = await run((opts) => imagesFor(lab.nodes, lab.proxmox.hosts, image, checked, opts), { preview });
      assert.deepEqual(names(recording), [
        "debian-image-pve-a",
        "debian-image-pve-a-file",
        "debian-image-pve-b",
        "debian-image-pve-b-file",
      ]);
    }
  });

  it("gives each node the volume of its own host, and names a host that is not there", async () => {
    const lab = environment("lab");
    const volumes: string[] = [];
    const recording = await run((opts) => {
      const volume = imagesFor(lab.nodes, lab.proxmox.hosts, image, checked, opts);
      for (const node of lab.nodes) volume(node).apply((text) => volumes.push(`${node.host} ${text}`));
      const [node] = lab.nodes;
      assert.ok(node);
      assert.throws(() => volume({ ...node, host: "pve-x" }), /lab-debian-1: host pve-x is not one of pve-a, pve-b/);
    });
    assert.equal(recording.error, undefined);
    assert.deepEqual(volumes.sort(), [
      `pve-a local:import/${image.fileName}`,
      `pve-b local:import/${image.fileName}`,
      `pve-b local:import/${image.fileName}`,
    ]);
  });
});
