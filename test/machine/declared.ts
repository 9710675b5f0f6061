import { z } from "zod";
import { reveal } from "../../rehearsal/record";
import { verbOf } from "../../rehearsal/verb";
import { environment } from "../support/environment";
import { recordLayer } from "../support/program";
import type { Network } from "./machine";
import type { CloudInit } from "./no-cloud";

/** What the program declares for debian-1 of the committed environment `home`. */
export interface Declared {
  readonly cloudInit: CloudInit;
  readonly networks: readonly Network[];
  /** GiB. */
  readonly systemDisk: number;
  readonly dataDisk: number;
  /** The input of the operation `provision`. */
  readonly provision: Provision;
}

/** As much as the tests read of it; the rest stays as it was declared. */
const provisionInput = z.looseObject({
  node: z.literal("debian-1"),
  address: z.ipv4(),
  dataDisk: z.int(),
  vm: z.object({ host: z.string(), vmId: z.int() }),
});
export type Provision = z.infer<typeof provisionInput>;

const machine = z.object({
  name: z.literal("debian-1"),
  disks: z.tuple([
    z.object({ interface: z.literal("scsi0"), size: z.number() }),
    z.object({ interface: z.literal("scsi1"), size: z.number() }),
  ]),
  networkDevices: z.array(z.object({ macAddress: z.string() })),
  initialization: z.object({
    type: z.literal("nocloud"),
    dns: z.object({ domain: z.string(), servers: z.array(z.string()) }),
    ipConfigs: z.array(z.object({ ipv4: z.object({ address: z.string(), gateway: z.string().optional() }) })),
    userAccount: z.object({ username: z.string() }),
  }),
});

/** Read from what the whole program registers, so that the machine gets just that; only the operator's key is another. */
export async function declared(): Promise<Declared> {
  const { registrations } = await recordLayer("home", "nodes");
  const vm = registrations
    .filter(({ type }) => type === "proxmoxve:index/vmLegacy:VmLegacy")
    .map(({ inputs }) => machine.safeParse(inputs))
    .find(({ success }) => success)?.data;
  const provision = registrations
    .filter(({ inputs }) => verbOf(inputs.create) === "provision")
    .map(({ inputs }) => provisionInput.safeParse(inputOf(inputs.stdin)))
    .find(({ success }) => success)?.data;
  if (!vm || !provision) throw new Error("the program declares no machine or no provisioning of debian-1 in this form");
  const { dns, ipConfigs, userAccount } = vm.initialization;
  const cards = ipConfigs.map(({ ipv4 }, index) => ({ mac: vm.networkDevices[index]?.macAddress ?? "", ...ipv4 }));
  const { networks, nodes } = environment("home");
  return {
    cloudInit: {
      name: vm.name,
      domain: dns.domain,
      nameServers: dns.servers,
      user: userAccount.username,
      keys: [],
      cards,
    },
    networks: (nodes.find(({ name }) => name === vm.name)?.cards ?? []).map((card) => {
      const { gateway = "", cidr = "" } = networks.find(({ name }) => name === card.network) ?? {};
      return { mac: card.mac, router: `${gateway}/${cidr.split("/")[1] ?? ""}` };
    }),
    systemDisk: vm.disks[0].size,
    dataDisk: vm.disks[1].size,
    provision,
  };
}

function inputOf(stdin: unknown): unknown {
  return z.object({ input: z.unknown() }).parse(JSON.parse(String(reveal(stdin)))).input;
}
