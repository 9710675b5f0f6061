import { z } from "zod";
import { SshFailure, type Clients, type SshResult } from "../clients";
import { defineOperation } from "../operation";
import { NotYet, waitFor } from "../poll";
import { Refusal } from "../refusal";
import { guestUser, hostKeyThroughHypervisor, refuseImpostor } from "./host-key";

/** Raised by one when `provision.sh` changes in a way that nodes which exist must get too: a changed input is what makes it run again. */
export const provisionRevision = 1;

const schema = z.strictObject({
  /** `provisionRevision` of the checkout that declared it. */
  revision: z.int(),
  node: z.string(),
  address: z.ipv4(),
  distribution: z.enum(["rke1", "rke2", "k3s"]),
  vm: z.strictObject({ host: z.string(), vmId: z.int() }),
  /** GiB of the disk for Longhorn; its growth in the file is what makes the file system grow. Absent: no such disk. */
  dataDisk: z.int().optional(),
  /** The cards beyond the first, in order; one without a gateway reaches its own network only and needs no routing. */
  cards: z.array(z.strictObject({ mac: z.string(), network: z.cidrv4(), gateway: z.ipv4().optional() })),
});

/**
 * The second disk by what Proxmox calls it. Not /dev/sdb: that letter is whichever disk the kernel found second, and this one gets formatted.
 */
const dataDiskDevice = "/dev/disk/by-id/scsi-0QEMU_QEMU_HARDDISK_drive-scsi1";

/** Seconds for a first boot: cloud-init makes the user and its key near the end of it. */
const bootSeconds = 900;

/**
 * Brings the guest to what the cluster needs (`operations/guest/provision.sh`) and returns the host key that it met. Converges: a second run changes only
 * what differs. Nothing secret travels, so that a first contact may be with anybody; if the guest agent already answers, the key is pinned all the same. In
 * the end the key that was met must be the one inside the machine, as the hypervisor reads it: only what this returns may be pinned, and only pinned
 * connections carry secrets.
 */
export const provision = defineOperation({
  verb: "provision",
  needs: ["proxmox", "ssh"],
  schema,
  run: async (input, clients) => {
    const { stdout, hostKey } = await firstAnswer(clients, input, {
      NODE_NAME: input.node,
      DISTRIBUTION: input.distribution,
      DATA_DISK: input.dataDisk === undefined ? "" : dataDiskDevice,
      DATA_DISK_GIB: String(input.dataDisk ?? ""),
      CARDS: input.cards
        .flatMap(({ mac, network, gateway }) =>
          gateway === undefined ? [] : [`${mac.toLowerCase()},${network},${gateway}`],
        )
        .join(" "),
    });
    for (const line of stdout.split("\n").filter((text) => text.startsWith("changed "))) {
      clients.log(`${input.node}: ${line}`);
    }
    // Part of the same operation: what was done to an impostor must not be recorded as done, or the machine itself would never get it.
    await refuseImpostor({ ...input, seen: hostKey }, clients);
    return { hostKey };
  },
});

function firstAnswer(
  { ssh, proxmox, clock }: Clients,
  { node, address, vm }: z.infer<typeof schema>,
  settings: Readonly<Record<string, string>>,
): Promise<SshResult> {
  return waitFor(
    clock,
    {
      what: `${node}: an SSH server at ${address}`,
      timeoutSeconds: bootSeconds,
      next: `look at the machine's console, \`qm terminal ${vm.vmId}\` on ${vm.host}, then run \`pulumi up --refresh\` again`,
    },
    async () => {
      // Asked before each try: on a machine that booted before, the agent comes up about when SSH does.
      const hostKey = await hostKeyThroughHypervisor(proxmox, vm);
      try {
        return await ssh.run({ address, user: guestUser, hostKey }, "provision", settings);
      } catch (error) {
        if (!(error instanceof SshFailure)) throw error;
        if (error.kind === "unreachable") throw new NotYet(error.message);
        // As a refusal, because of any other error the operator sees the first line only, and what the script says comes after it.
        throw new Refusal({
          what: `${node}: not provisioned`,
          why: error.message,
          next: "mend that, then run `pulumi up --refresh` again; it goes on where it stopped",
        });
      }
    },
  );
}
