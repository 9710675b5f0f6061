import { Agent, request } from "undici";

/** What came back: Proxmox's data, or its refusal. */
export interface PveAnswer {
  readonly status: number;
  /** The reason phrase. */
  readonly reason: string;
  readonly data: unknown;
  readonly message?: string;
  readonly errors?: Readonly<Record<string, string>>;
}

type Parameters = Readonly<Record<string, string>>;

/** Sends what a test says, as the provider would send it. */
export class PveCaller {
  private readonly agent: Agent;

  constructor(
    private readonly url: string,
    ca: string,
    private readonly token: string | undefined,
  ) {
    this.agent = new Agent({ connect: { ca } });
  }

  async send(method: "GET" | "POST" | "PUT" | "DELETE", path: string, parameters: Parameters = {}): Promise<PveAnswer> {
    const form = new URLSearchParams(parameters).toString();
    const inQuery = method === "GET" || method === "DELETE";
    const answer = await request(`${this.url}/api2/json${path}${inQuery && form !== "" ? `?${form}` : ""}`, {
      method,
      dispatcher: this.agent,
      headers: {
        ...(this.token !== undefined && { authorization: `PVEAPIToken=${this.token}` }),
        ...(!inQuery && { "content-type": "application/x-www-form-urlencoded" }),
      },
      ...(!inQuery && { body: form }),
    });
    const text = await answer.body.text();
    const body = (text === "" ? { data: null } : JSON.parse(text)) as { data: unknown };
    return { status: answer.statusCode, reason: answer.statusText, ...body };
  }

  /** The same for what must succeed; returns the data. */
  async must(method: "GET" | "POST" | "PUT" | "DELETE", path: string, parameters: Parameters = {}): Promise<unknown> {
    const answer = await this.send(method, path, parameters);
    if (answer.status !== 200) throw new Error(`${method} ${path}: ${answer.status} ${answer.reason}`);
    return answer.data;
  }

  /** A request that starts a task, and a look at how it ended. */
  async task(method: "POST" | "PUT" | "DELETE", path: string, parameters: Parameters = {}): Promise<unknown> {
    const upid = String(await this.must(method, path, parameters));
    const host = upid.split(":")[1] ?? "";
    const segment = encodeURIComponent(upid).replaceAll("!", "%21");
    const { exitstatus } = (await this.must("GET", `/nodes/${host}/tasks/${segment}/status`)) as {
      exitstatus?: unknown;
    };
    return exitstatus;
  }
}

/** What is created by the requests below. */
export interface Wanted {
  readonly vmId: number;
  readonly name: string;
  /** Of the image, on `local`. */
  readonly file: string;
  readonly checksum: string;
}

const vm = ({ vmId }: Wanted): string => `/nodes/pve/qemu/${vmId}`;

/**
 * The requests that the provider (8.6.0) really made for one Debian node of ours, one after another: recorded from `up` (image and machine), `up` with another
 * memory and other cores, tags and another address, `refresh` and `destroy`.
 */
export const provider = {
  async download(caller: PveCaller, { file, checksum }: Wanted): Promise<void> {
    const url = `https://cloud.debian.org/images/cloud/${file}`;
    await caller.must("GET", "/nodes/pve/query-url-metadata", { url, "verify-certificates": "1" });
    await caller.task("POST", "/nodes/pve/storage/local/download-url", {
      ...{ checksum, "checksum-algorithm": "sha512", content: "import", filename: file },
      ...{ node: "pve", storage: "local", url, "verify-certificates": "1" },
    });
    await caller.must("GET", "/nodes/pve/storage/local/content", { content: "import" });
  },

  async create(caller: PveCaller, wanted: Wanted): Promise<void> {
    await caller.task("POST", "/nodes/pve/qemu", createBody(wanted));
    await caller.task("PUT", `${vm(wanted)}/resize`, { disk: "scsi0", size: String(40 * 2 ** 30) });
    await caller.must("GET", `${vm(wanted)}/status/current`);
    await caller.task("POST", `${vm(wanted)}/status/start`, { timeout: "300" });
    await caller.must("GET", `${vm(wanted)}/status/current`);
    await this.read(caller, wanted);
  },

  async read(caller: PveCaller, wanted: Wanted): Promise<void> {
    await caller.must("GET", "/cluster/resources", { type: "vm" });
    await caller.must("GET", `${vm(wanted)}/config`);
    await caller.must("GET", `${vm(wanted)}/status/current`);
    for (const disk of [0, 1])
      await caller.must("GET", `/nodes/pve/storage/local-lvm/content/local-lvm:vm-${wanted.vmId}-disk-${disk}`);
    await caller.must("GET", "/pools");
  },

  async update(caller: PveCaller, wanted: Wanted, changes: Parameters): Promise<void> {
    await caller.must("GET", `${vm(wanted)}/config`);
    await caller.must("PUT", `${vm(wanted)}/config`, { ...changes, name: wanted.name });
    if ("ipconfig0" in changes) await caller.must("PUT", `${vm(wanted)}/cloudinit`);
    await this.read(caller, wanted);
  },

  async destroy(caller: PveCaller, wanted: Wanted): Promise<void> {
    await caller.must("GET", `${vm(wanted)}/status/current`);
    await caller.task("POST", `${vm(wanted)}/status/stop`);
    await caller.must("GET", `${vm(wanted)}/status/current`);
    await caller.task("DELETE", `${vm(wanted)}/`, { "destroy-unreferenced-disks": "0", purge: "1" });
    await caller.send("GET", `${vm(wanted)}/status/current`);
  },
};

/** Of the provider's `POST /nodes/pve/qemu`; without `startup`, which takes a privilege that our role does not have. */
export function createBody({ vmId, name, file }: Wanted): Record<string, string> {
  const disk = "aio=io_uring,backup=1,iothread=1,ssd=1,discard=on,cache=none,replicate=1";
  return {
    acpi: "1",
    agent: "enabled=1,fstrim_cloned_disks=1,type=virtio",
    balloon: "0",
    bios: "seabios",
    boot: "order=scsi0",
    citype: "nocloud",
    ciuser: "debian",
    cores: "4",
    cpu: "x86-64-v2-AES",
    description: "Node of the cluster home, declared by home-cluster",
    ide2: "file=local-lvm:cloudinit,",
    ide3: "file=none,media=cdrom,",
    ipconfig0: "gw=192.168.10.1,ip=192.168.10.21/24",
    ipconfig1: "ip=192.168.40.21/24",
    keyboard: "en-us",
    memory: "12288",
    name,
    nameserver: "192.168.10.1",
    net0: "model=virtio,bridge=vmbr0,firewall=0,macaddr=BC:24:11:00:10:21",
    net1: "model=virtio,bridge=vmbr0,firewall=0,macaddr=BC:24:11:00:40:21,tag=40",
    numa: "0",
    onboot: "1",
    ostype: "l26",
    protection: "0",
    scsi0: `file=local-lvm:0,import-from=local:import/${file},size=42949672960,${disk}`,
    scsi1: `file=local-lvm:200,size=214748364800,${disk}`,
    scsihw: "virtio-scsi-single",
    searchdomain: "home",
    serial0: "socket",
    sockets: "1",
    sshkeys: "ssh-ed25519%20AAAAC3NzaC1lZDI1NTE5AAAAIPJnnEVVTB%2Bm%2BCiEtBMVNwkFQSWhzJbSVzDEnLrQdR5d%20me%40home",
    tablet: "1",
    tags: "debian;home-cluster-home",
    template: "0",
    vga: "memory=16,type=serial0",
    vmid: String(vmId),
  };
}
