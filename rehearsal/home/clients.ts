import { isIP } from "node:net";
import type { Clients, Clock } from "../../operations/clients";
import { PretendSsh } from "./guest";
import { PretendKubernetes } from "./kubernetes";
import { PretendProxmox } from "./proxmox";
import { PretendRancher } from "./rancher";
import type { HomeState } from "./state";

/** In-memory clients over one pretend home, for the rehearsal and for the tests of operations. */
export function pretendClients(home: HomeState, clock: Clock, log: (line: string) => void = () => undefined): Clients {
  const kubernetes = new PretendKubernetes(home, clock);
  const rancher = new PretendRancher(home, clock, kubernetes);
  return {
    proxmox: new PretendProxmox(home, clock),
    rancher,
    kubernetes,
    ssh: new PretendSsh(home, clock, rancher),
    network: {
      urlOf: (system) => home.network.urls[system],
      addressesOf: async (host) => (isIP(host) === 0 ? (home.network.names[host] ?? []) : [host]),
    },
    clock,
    log,
  };
}
