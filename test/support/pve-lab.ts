import assert from "node:assert/strict";
import { proxmoxClient } from "../../operations/clients/proxmox";
import type { ProxmoxApi } from "../../operations/clients";
import { buildHome } from "../../rehearsal/home/build";
import { VirtualClock } from "../../rehearsal/home/clock";
import type { HomeState, Vm } from "../../rehearsal/home/state";
import { startProxmox, type ProxmoxOptions, type SimulatedProxmox } from "../../rehearsal/simulators/proxmox";
import { environment } from "./environment";
import { certificates } from "./https";
import { needs } from "./needs";
import { judge } from "./pve-judge";
import { createBody, PveCaller, type PveAnswer, type Wanted } from "./pve-provider";
import { pveSchema } from "./pve-schema";

export const token = "home-cluster@pve!program=11111111-2222-3333-4444-555555555555";

/** The first node of home. */
export const wanted: Wanted = { vmId: 201, name: "debian-1", file: "debian-13.qcow2", checksum: "ab".repeat(64) };
export const machine = "/nodes/pve/qemu/201";

let pristine: HomeState | undefined;

/** The simulator over a home of its own for each test; what was said in a test is judged by Proxmox's schema where that is to be had. */
export class PveLab {
  private constructor(
    readonly home: HomeState,
    readonly simulator: SimulatedProxmox,
    readonly caller: PveCaller,
  ) {}

  static async start(
    options: Partial<ProxmoxOptions> = {},
    change: (home: HomeState) => void = () => undefined,
  ): Promise<PveLab> {
    pristine ??= buildHome(environment("home"));
    const home = structuredClone(pristine);
    change(home);
    const certificate = certificates();
    const simulator = await startProxmox(home, { certificate, ...options });
    return new PveLab(home, simulator, new PveCaller(simulator.url, certificate.ca, token));
  }

  /** Our own client, whose waiting takes no time. */
  client(): ProxmoxApi {
    const caCertificate = certificates().ca;
    return proxmoxClient({ endpoint: this.simulator.url, token, caCertificate }, new VirtualClock(0));
  }

  vm(vmId = wanted.vmId): Vm {
    const found = this.home.proxmox.vms.find((other) => other.vmId === vmId);
    assert.ok(found, `machine ${vmId}`);
    return found;
  }

  /** The image is there. */
  image(): void {
    this.home.proxmox.images.push({ host: "pve", datastore: "local", file: wanted.file });
  }

  /** A machine as the provider creates it, off. */
  async make(vmId = wanted.vmId): Promise<void> {
    if (this.home.proxmox.images.length === 0) this.image();
    assert.equal(await this.caller.task("POST", "/nodes/pve/qemu", createBody({ ...wanted, vmId })), "OK");
  }

  /** Stops the server, and throws when Proxmox would not have said or understood something that was said. */
  async stop(): Promise<void> {
    await this.simulator.stop();
    const schema = pveSchema();
    if (typeof schema !== "string") assert.deepEqual(judge(schema, this.simulator.log), []);
  }
}

/** A lab for one test, which ends with it. */
export function labs(): typeof PveLab.start {
  const open: PveLab[] = [];
  before(function () {
    needs(this, "openssl");
  });
  afterEach(async () => {
    for (const lab of open.splice(0)) await lab.stop();
  });
  return async (...args) => {
    const lab = await PveLab.start(...args);
    open.push(lab);
    return lab;
  };
}

/** What came back, without what a success would carry: status, words, and what is wrong with which parameter. */
export function said({ status, message, errors }: PveAnswer): unknown[] {
  return [status, message?.trim(), ...(errors ? [errors] : [])];
}
