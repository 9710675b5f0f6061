import { z } from "zod";
import type { Clients, Datastore } from "../clients";
import { failureOf } from "../cluster/failure";
import { refuseFindings, type Finding } from "../cluster/finding";
import { defineOperation } from "../operation";
import { missingPrivileges } from "./privileges";

const host = z.strictObject({
  name: z.string(),
  /** Takes Debian's image. */
  imageDatastore: z.string(),
  /** Takes the machines' disks. */
  diskDatastore: z.string(),
});

const schema = z.strictObject({
  /** Those that a node of the file uses. */
  hosts: z.array(host),
  /** `disks`: GiB of all its disks together. */
  nodes: z.array(z.strictObject({ name: z.string(), host: z.string(), vmId: z.int(), disks: z.number() })),
});

type Input = z.infer<typeof schema>;
type Host = z.infer<typeof host>;

/** Bytes. */
const GiB = 2 ** 30;

/** GiB that Debian's image takes on its datastore while it is downloaded and verified: 0.4 published, twice that at the worst, rounded up. */
const imageFile = 1;

/**
 * GiB that a new machine writes to thin storage before anybody uses it: the image is a disk of 3 GiB, and provisioning adds packages and container images. What
 * it fills later is nobody's to know; storage that is thin is there to be promised more than once.
 */
const thinMachine = 4;

/**
 * Everything in Proxmox that a creation would fail on halfway, at every preview and update: the token's privileges, the datastores of each host that a node
 * uses, room for the machines that are yet to be made. All problems at once, and nothing is changed.
 */
export const checkHosts = defineOperation({
  verb: "check-hosts",
  needs: ["proxmox"],
  schema,
  run: async (input, { proxmox }) => {
    const held = await proxmox.privileges();
    const findings = missingPrivileges(held, input);
    // Without the privilege to look, what is seen is wrong: one remedy at a time then.
    if (findings.length === 0) {
      const taken = new Set((await proxmox.listVms()).map((machine) => machine.vmId));
      for (const used of input.hosts) {
        const missing = input.nodes.filter((node) => node.host === used.name && !taken.has(node.vmId));
        findings.push(...(await datastoreFindings(proxmox, used, missing)));
      }
    }
    refuseFindings(
      "Proxmox is not ready for the nodes, nothing was touched",
      findings,
      "mend what is named, then run the same command again",
    );
    return { hosts: Object.fromEntries(input.hosts.map(({ name, ...datastores }) => [name, datastores])) };
  },
});

async function datastoreFindings(
  proxmox: Clients["proxmox"],
  { name: hostName, imageDatastore, diskDatastore }: Host,
  missing: Input["nodes"],
): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const name of new Set([imageDatastore, diskDatastore])) {
    const content = [...(name === imageDatastore ? ["import"] : []), ...(name === diskDatastore ? ["images"] : [])];
    const setting = name === imageDatastore ? "imageDatastore" : "diskDatastore";
    const what = `host ${hostName}: datastore ${name}`;
    let store: Datastore | undefined;
    try {
      store = await proxmox.readDatastore(hostName, name);
    } catch (error) {
      const failure = failureOf(error);
      findings.push({
        what: `${what} could not be read (${failure.what}: ${failure.why})`,
        remedy: failure.next ?? `see that the host is up and in the cluster: \`pvecm status\``,
      });
      continue;
    }
    if (!store) {
      findings.push({
        what: `${what} does not exist there`,
        remedy: `set \`${setting}\` of the host to one that does (\`pvesm status\` on ${hostName})`,
      });
      continue;
    }
    if (!store.active) {
      findings.push({
        what: `${what} is not active: it is disabled, or the host does not reach it`,
        remedy: `\`pvesm set ${name} --disable 0\`, and see that \`pvesm status\` on ${hostName} calls it active`,
      });
      continue;
    }
    const lacking = content.filter((type) => !store.content.includes(type));
    if (lacking.length > 0) {
      findings.push({
        what: `${what} does not allow the content ${lacking.join(" and ")}, which ${setting} needs`,
        remedy: `\`pvesm set ${name} --content ${[...store.content, ...lacking].join(",")}\``,
      });
    }
    const needed =
      (name === imageDatastore && missing.length > 0 ? imageFile : 0) +
      (name === diskDatastore ? sum(missing.map(({ disks }) => (store.thin ? thinMachine : disks))) : 0);
    if (store.available < needed * GiB) {
      findings.push({
        what: `${what} has ${(store.available / GiB).toFixed(1)} GiB left, and ${missing.map((node) => node.name).join(", ")} ${missing.length === 1 ? "needs" : "need"} ${needed}`,
        remedy: "make room there, or put them on another datastore or host",
      });
    }
  }
  return findings;
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
